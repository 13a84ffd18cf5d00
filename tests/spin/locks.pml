/* SPDX-License-Identifier: GPL-2.0 */
/*
 * N17: the order of the module's locks, and of those of the kernel that it is called
 * with, or calls functions that take.
 *
 * Three actors, each of which goes one of the ways there are into the module: every
 * three of them, at every relative speed. Locks are taken and given back as in the code,
 * and nothing else is done, but for what a reset makes others wait for.
 *
 * What is proved: nobody waits for ever. Each lock is taken in the order of LOCKS, in
 * which those of buddy_internal.h stand; that rules out a deadlock of more than three
 * actors, too. A reader waits if a writer does before him, as with rw_semaphore.
 *
 * What is left out:
 *  - dirty_lock, quota_lock, and a shard's lock taken alone: nothing is taken inside.
 *    LEAF() looks that the lock is free and in order, in one step.
 *  - Page table locks, and locks of the kernel that nothing of ours is called with: those
 *    of resources, sysfs, the slab.
 *  - Interrupts: all spinlocks are taken with them disabled, but quota_lock, which no
 *    interrupt takes; lockdep looks after that, in tests/vm.
 *  - A second pool, device, or process: there the locks are others, of the same order.
 *    fork() takes no more than mmap() does, but for a child that nobody sees yet.
 *
 * Faults that are planted with -D, and what must be said of each. With FAULT the order is
 * not looked at, so that it is the deadlock that is found.
 *
 * BUG_COPY_WITH_FILE_LOCKED: invalid end state
 * BUG_COPY_INSIDE_RANGE: invalid end state
 * BUG_WAIT_INSIDE_RANGE: invalid end state
 * BUG_DEREGISTER_WITH_FILES_LOCK: invalid end state
 * BUG_REMOVE_TELLS_CONFIGFS: invalid end state
 * BUG_NOTIFIER_MAY_WAIT: invalid end state
 * BUG_SHARDS_HOME_FIRST: invalid end state
 * BUG_RESERVING_TOO_EARLY: invalid end state
 */

/* LOCKS, in order; those marked rw are rw_semaphores */
#define ITEM		0	/* pool_item.lock, buddy_configfs.c */
#define REQUEST		1	/* request.lock, buddy_pci.c */
#define DEVICE		2	/* a PCI device's own */
#define MISC		3	/* misc_mtx, drivers/char/misc.c */
#define MMAP		4	/* rw: mmap_lock of a process */
#define PAUSED		5	/* no lock, but waited for: buddy_pool.paused */
#define FILES		6	/* buddy_node.files_lock */
#define RANGE		7	/* rw: buddy_pool.range_lock */
#define NOTIFIERS	8	/* rw: of buddy_pool.notifiers */
#define CLIENT		9	/* what another module locks when it is told */
#define POOL_LIST	10	/* pool_list_lock */
#define FILE		11	/* buddy_file.lock */
#define I_MMAP		12	/* rw: i_mmap_rwsem, of the mappings of the node */
#define SPAN		13	/* buddy_shards.span_lock */
#define SHARD0		14	/* buddy_shard.lock */
#define SHARD1		15
#define RESERVING	16	/* no lock, but waited for: buddy_shards.reserving is odd */
#define DIRTY		17	/* buddy_pool.dirty_lock */
#define QUOTA		18	/* buddy_node.quota_lock */
#define LOCKS		19

bool writer[LOCKS];		/* or owner */
byte readers[LOCKS];
byte waiting[LOCKS];		/* to write */

bool paused;
byte nr_actors;

#ifdef FAULT
#define in_order(l)	true
#else
#define in_order(l)	(held >> (l) == 0)
#endif

inline LOCK(l)
{
	assert(in_order(l));
	atomic { !writer[l] -> writer[l] = true };
	held = held | 1 << l
}

inline UNLOCK(l)
{
	writer[l] = false;
	held = held & ~(1 << l)
}

inline DOWN_WRITE(l)
{
	assert(in_order(l));
	waiting[l]++;
	atomic { !writer[l] && !readers[l] -> writer[l] = true; waiting[l]-- };
	held = held | 1 << l
}

inline UP_WRITE(l) { UNLOCK(l) }

inline DOWN_READ(l)
{
	assert(in_order(l));
	atomic { !writer[l] && !waiting[l] -> readers[l]++ };
	held = held | 1 << l
}

inline UP_READ(l)
{
	readers[l]--;
	held = held & ~(1 << l)
}

/*
 * Taken and given back, with nothing inside that waits: who has such a lock holds nobody
 * up for ever, so that it is enough to look, in one step, that it may be taken.
 */
inline LEAF(l)
{
	atomic { assert(in_order(l)); !writer[l] }
}

inline LEAF_READ(l)
{
	atomic { assert(in_order(l)); !writer[l] && !waiting[l] }
}

inline LEAF_WRITE(l)
{
	assert(in_order(l));
	waiting[l]++;
	atomic { !writer[l] && !readers[l] -> waiting[l]-- }
}

/*
 * buddy_shard.c, buddy_span.c: a pool of two shards, of which one is taken alone, or both
 * with span_lock held
 */

/* Either: they are alike, and who has both needs nothing more to go on. */
inline one_shard() { LEAF(SHARD0) }

/* alloc_from_all(), buddy_span_usage(), reserve_run(): lock_shards() */
inline all_shards()
{
#ifdef BUG_SHARDS_HOME_FIRST
	/* Each CPU begins with its own shard, and no span_lock is there to let it. */
	if
	:: LOCK(SHARD0); LOCK(SHARD1)
	:: LOCK(SHARD1); LOCK(SHARD0)
	fi;
	UNLOCK(SHARD1);
	UNLOCK(SHARD0)
#else
	LOCK(SPAN);
#ifdef BUG_RESERVING_TOO_EARLY
	LOCK(RESERVING);
	LOCK(SHARD0);
	LOCK(SHARD1);
	UNLOCK(RESERVING);
#else
	LOCK(SHARD0);
	LOCK(SHARD1);
	/* write_seqcount_begin(), or sample_peak() with all of them held */
	LEAF(RESERVING);
#endif
	UNLOCK(SHARD0);
	UNLOCK(SHARD1);
	UNLOCK(SPAN)
#endif
}

/* An alloc, free or query, of a block in one shard, or of one that may cross to the next */
inline some_shards()
{
	one_shard();
	if
	:: skip
	:: all_shards()
	/* buddy_span_free(), buddy_span_query() of what is no span any more */
	:: LOCK(SPAN); one_shard(); UNLOCK(SPAN)
	fi
}

/*
 * buddy_pool.c
 */

/* buddy_pool_put(), hide(), register_pool(), buddy_pool_get() */
inline look_at_list() { LEAF(POOL_LIST) }

/* buddy_pool_try_enter_range(), zero_some(): again while paused, with what else is held */
inline zero()
{
	do
	:: DOWN_READ(RANGE);
		if
		:: paused ->
#ifdef BUG_WAIT_INSIDE_RANGE
			!paused;
			UP_READ(RANGE)
#else
			UP_READ(RANGE);
			assert(in_order(PAUSED));
			!paused
#endif
		:: else -> break
		fi
	od;
	UP_READ(RANGE);
	LEAF(DIRTY)
}

/* buddy_pool_unregister_notifier() */
inline unregister_notifier() { LEAF_WRITE(NOTIFIERS) }

/* buddy_pool_mark_gone(), and what clients do when they are told */
inline mark_gone()
{
	look_at_list();
	LEAF_WRITE(RANGE);
	DOWN_READ(NOTIFIERS);
	if
	:: skip
	:: LOCK(CLIENT); one_shard(); look_at_list(); UNLOCK(CLIENT)
#ifdef BUG_NOTIFIER_MAY_WAIT
	/* Not refused with -EDEADLK */
	:: unregister_notifier()
#endif
	fi;
	UP_READ(NOTIFIERS)
}

/*
 * buddy_chardev.c
 */

/* zap_mappings(): unmap_mapping_range() */
inline zap_mappings()
{
	LOCK(FILES);
	LEAF_READ(I_MMAP);
	UNLOCK(FILES)
}

/* buddy_node_destroy() */
inline node_destroy()
{
	mark_gone();
	zap_mappings();
#ifdef BUG_DEREGISTER_WITH_FILES_LOCK
	LOCK(FILES);
	LEAF(MISC);
	UNLOCK(FILES);
#else
	/* misc_deregister() */
	LEAF(MISC);
#endif
	look_at_list()
}

/* buddy_node_retire(): buddy_pool_retire() */
inline node_retire()
{
	LOCK(FILES);
	look_at_list();
	UNLOCK(FILES)
}

/* A page fault, also one of the kernel in user memory, which may be our mapping */
inline fault()
{
	DOWN_READ(MMAP);
	LEAF_READ(RANGE);
	UP_READ(MMAP)
}

/* buddy_file_put_blocks(), buddy_pieces_put(), buddy_row_put_mapped(): free_pieces() */
inline free_pieces()
{
	one_shard();
	zero();
	LEAF(QUOTA);
	some_shards()
}

/*
 * buddy_pci.c
 */

/* destroy_bar() */
inline destroy_bar() { node_destroy(); look_at_list() }

/* buddy_pci_remove(): the device is locked. */
inline remove()
{
#ifdef BUG_REMOVE_TELLS_CONFIGFS
	LEAF(ITEM);
#endif
	destroy_bar()
}

/* add_bar(): buddy_pool_create(), buddy_node_create(), which may zero all of it */
inline add_bar()
{
	LEAF(DIRTY);
	look_at_list();
	if
	:: skip
	:: all_shards(); LEAF_READ(RANGE); LEAF(DIRTY)
	fi;
	LEAF(MISC);
	if
	:: skip
	/* There is no node: buddy_pool_destroy() */
	:: look_at_list(); mark_gone(); look_at_list()
	fi
}

/* buddy_pci_attach() */
inline attach()
{
	LOCK(REQUEST);
	/* Has it a driver? If not, bind() sets driver_override, and device_attach() probes. */
	LEAF(DEVICE);
	if
	:: skip
	:: LEAF(DEVICE)
	fi;
	LOCK(DEVICE);
	add_bar();
	UNLOCK(DEVICE);
	/* report_unbound(), forget() */
	if
	:: skip
	:: LEAF(DEVICE)
	fi;
	UNLOCK(REQUEST)
}

/* buddy_pci_detach() */
inline detach()
{
	LOCK(REQUEST);
	LOCK(DEVICE);
	node_retire();
	destroy_bar();
	UNLOCK(DEVICE);
	/* device_release_driver(), forget() */
	LEAF(DEVICE);
	UNLOCK(REQUEST)
}

/*
 * The ways into the module
 */

/* buddy_configfs.c: live_store(), live_show(); without ITEM it is module parameters. */
inline way_live_on()
{
	LOCK(ITEM);
	attach();
	UNLOCK(ITEM)
}

inline way_live_off()
{
	LOCK(ITEM);
	if
	:: detach()
	/* buddy_admin_retire() of a range that is no BAR */
	:: node_retire(); node_destroy(); look_at_list()
	fi;
	UNLOCK(ITEM)
}

inline way_live_show()
{
	LOCK(ITEM);
	/* buddy_pci_has() */
	LEAF(DEVICE);
	UNLOCK(ITEM)
}

/* Unplug, unbind, bus errors, rmmod */
inline way_remove()
{
	LOCK(DEVICE);
	remove();
	UNLOCK(DEVICE)
}

/* buddy_pci_reset_prepare(), buddy_pci_reset_done() */
inline way_reset()
{
	LOCK(DEVICE);
	DOWN_WRITE(RANGE);
	paused = true;
	UP_WRITE(RANGE);
	held = held | 1 << PAUSED;
	zap_mappings();
	LEAF(DIRTY);
	DOWN_WRITE(RANGE);
	paused = false;
	UP_WRITE(RANGE);
	held = held & ~(1 << PAUSED);
	UNLOCK(DEVICE)
}

/* main.c: on_sleep(), buddy_pool_set_asleep() */
inline way_sleep()
{
	LOCK(POOL_LIST);
	LEAF(DIRTY);
	UNLOCK(POOL_LIST)
}

/* misc_open(), buddy_file_open() */
inline way_open()
{
	LOCK(MISC);
	LEAF(QUOTA);
	LEAF(FILES);
	LEAF(QUOTA);
	UNLOCK(MISC)
}

/* buddy_file_release(), from task work, where no lock is held */
inline way_release()
{
	LEAF(FILES);
	free_pieces();
	LEAF(QUOTA);
	look_at_list()
}

/* do_alloc(), do_alloc_batch() */
inline way_alloc()
{
	LEAF(QUOTA);
	if
	:: some_shards()
	/* sample_peak(): read_seqcount_begin() waits until nobody is reserving. */
	:: LOCK(SHARD0); LEAF(RESERVING); UNLOCK(SHARD0)
	fi;
	LEAF(DIRTY);
#ifdef BUG_COPY_INSIDE_RANGE
	DOWN_READ(RANGE);
	fault();
	UP_READ(RANGE);
#else
	zero();
#endif
	/* buddy_blocks_alloc(): handles */
	LEAF(FILE);
#ifdef BUG_COPY_WITH_FILE_LOCKED
	LOCK(FILE);
	fault();
	UNLOCK(FILE)
#else
	/* respond() */
	fault();
	if
	/* buddy_rows_publish() */
	:: LEAF(FILE)
	/* buddy_rows_drop() */
	:: LEAF(FILE); LEAF(QUOTA); some_shards()
	fi
#endif
}

/* do_free(), do_free_batch() */
inline way_free()
{
	fault();
	LEAF(FILE);
	free_pieces()
}

/* do_extents(): look_at_extent(); do_list(), do_query(), buddy_file_show_fdinfo() */
inline way_query()
{
	LOCK(FILE);
	some_shards();
	UNLOCK(FILE);
	fault()
}

/* do_stats(), do_reserve(), do_unreserve() */
inline way_stats()
{
	all_shards();
	one_shard();
	LEAF(DIRTY);
	fault()
}

inline way_fault() { fault() }

/* mmap(): buddy_file_mmap(), then the mapping is added to those of the inode. */
inline way_mmap()
{
	DOWN_WRITE(MMAP);
	LEAF(FILE);
	LEAF_WRITE(I_MMAP);
	UP_WRITE(MMAP)
}

/* munmap(): the mapping leaves the inode, then buddy_vma_close() */
inline way_munmap()
{
	DOWN_WRITE(MMAP);
	LEAF_WRITE(I_MMAP);
	free_pieces();
	UP_WRITE(MMAP)
}

/* buddy_pool_register_notifier(), buddy_pool_unregister_notifier() */
inline way_register()
{
	DOWN_READ(RANGE);
	LEAF_WRITE(NOTIFIERS);
	UP_READ(RANGE);
	unregister_notifier()
}

/* A client, with a lock of its own: buddy_pool_get(), _alloc(), _free(), _put() */
inline way_client()
{
	LOCK(CLIENT);
	look_at_list();
	some_shards();
	LEAF(DIRTY);
	UNLOCK(CLIENT)
}

#define WAYS	17

proctype actor(byte way)
{
	int held;

	if
	:: way == 0 -> way_sleep()
	:: way == 1 -> way_mmap()
	:: way == 2 -> way_alloc()
	:: way == 3 -> way_open()
	:: way == 4 -> way_remove()
	:: way == 5 -> way_live_show()
	:: way == 6 -> way_fault()
	:: way == 7 -> way_reset()
	:: way == 8 -> way_query()
	:: way == 9 -> way_client()
	:: way == 10 -> way_register()
	:: way == 11 -> way_munmap()
	:: way == 12 -> way_free()
	:: way == 13 -> way_release()
	:: way == 14 -> way_stats()
	:: way == 15 -> way_live_off()
	:: way == 16 -> way_live_on()
	fi;
	assert(held == 0);
	nr_actors--
}

init
{
	byte a, b, c;

	atomic {
		/* Which of them goes which way makes no difference. */
		select(a : 0 .. (WAYS - 1));
		select(b : 0 .. a);
		select(c : 0 .. b);
		nr_actors = 3;
		run actor(a);
		run actor(b);
		run actor(c)
	};
	nr_actors == 0;
	assert(!paused)
}
