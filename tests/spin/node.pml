/* SPDX-License-Identifier: GPL-2.0 */
/*
 * N17: how long a node, its files, its pool and its range live.
 *
 * Two users open the node, allocate, map, touch and close; or one user does, and
 * another module has the pool. Meanwhile the administrator resets the device, retires
 * the pool, removes the device and unloads the module, or the module fails to load.
 * Any of them may stop for ever where it holds no lock: removal must not wait for them.
 *
 * What is proved: nobody uses a pool, node, file, user or the module after it was
 * freed; no page is mapped and nobody is inside the range when it is given back, or
 * while it is reset; clients are told before it goes; in the end all is freed.
 *
 * What is left out:
 *  - What a block is: see block.pml. Here it is a number of them.
 *  - What sleeps in which order: see locks.pml. Here only those locks are that order
 *    steps of different actors in time. pool_item.lock, request.lock and the device's
 *    own make the steps of admin() follow one another.
 *  - Creation. Nobody can come before misc_register(), which is its last step.
 *  - Weak memory. The flags that matter are read and written with locks held.
 *
 * Faults that are planted with -D, and what must be said of each:
 *
 * BUG_NO_ZAP: assertion violated .*page
 * BUG_ZAP_FIRST: assertion violated .*page
 * BUG_FAULT_OUTSIDE: assertion violated .*range_claimed
 * BUG_RELEASE_RANGE_EARLY: assertion violated .*page
 * BUG_NODE_PUT_EARLY: assertion violated .*node_alive
 * BUG_NODE_PUT_BEFORE_QUOTA: assertion violated .*node_alive
 * BUG_POOL_NOT_REFERENCED: assertion violated .*pool_alive
 * BUG_RETIRE_UNLOCKED: assertion violated .*node_ref
 * BUG_REGISTER_UNLOCKED: assertion violated .*range_claimed
 * BUG_OPENERS_NOT_AWAITED: assertion violated .*text
 * BUG_OPEN_WHILE_COMING: assertion violated .*file_alive
 * BUG_ZAP_WAITS: invalid end state
 */

mtype = { COMING, LIVE, GOING };
mtype = { OK, ENODEV, EAGAIN };

/* The module. Its code must be there when it runs. */
bool text = true;
mtype module_state = LIVE;
byte module_refs;		/* open files, openers, and modules that use its symbols */

/* struct buddy_pool */
bool pool_alive = true;
byte pool_ref;			/* creator, node, clients */
bool pool_hidden, gone, paused;
bool over_bar;			/* range.pdev is set: the range goes with the device */
byte nr_blocks;			/* taken from the pool */

/* struct buddy_range, and what a reset does to it */
bool range_claimed = true;
bool in_reset;

/* struct buddy_node */
bool node_alive = true;
byte node_ref = 1;		/* the creator and each open file */
bool node_retired;
bool misc_registered = true;

/* struct buddy_file: 2 of them, of one user */
bool file_alive[2];
bool file_listed[2];		/* in buddy_node.files */
bool page[2];			/* is there a page in its mapping? */

/* struct buddy_user */
bool user_alive;
byte user_files;

/* A client's struct notifier_block */
bool notifier_alive, notifier_registered, told;

/* Locks */
bool misc_mtx, files_lock, pool_list_lock;
bool range_writer;
byte range_readers, inside;	/* those who look whether it is there, and who found it is */
bool notifiers_writer;
byte notifiers_readers;

byte nr_actors;

#define use_pool()	assert(text && pool_alive)
#define use_node()	assert(text && node_alive)
#define use_file(f)	assert(text && node_alive && file_alive[f])
/* module_put(), which writes to the module */
#define put_module()	atomic { assert(text && module_refs > 0); module_refs-- }
#define no_pages()	(!page[0] && !page[1])

inline mutex_lock(m) { atomic { !m -> m = true } }
inline mutex_unlock(m) { m = false }
inline down_read(writer, readers) { atomic { !writer -> readers++ } }
inline up_read(readers) { readers-- }
inline down_write(writer, readers) { atomic { !writer && !readers -> writer = true } }
inline up_write(writer) { writer = false }

/* May stop for ever here, holding no lock. */
inline maybe_sleep()
{
	if
	:: skip
	:: skip ->
end_asleep:	false
	fi
}

/*
 * buddy_pool.c
 */

/* buddy_pool_try_enter_range(); gone and paused are written with range_lock held. */
inline try_enter_range(err)
{
	use_pool();
	down_read(range_writer, range_readers);
	if
	:: gone -> err = ENODEV
	:: !gone && paused -> err = EAGAIN
	:: else -> err = OK; inside++
	fi;
	if
	:: err != OK -> up_read(range_readers)
	:: else
	fi
}

inline leave_range()
{
	use_pool();
	d_step { inside--; range_readers-- }
}

/* buddy_range_release() */
inline range_release()
{
	assert(no_pages() && !inside);
	assert(!notifier_registered || told);
	range_claimed = false
}

/* buddy_pool_put(): drop() with pool_list_lock held, then free_pool() */
inline pool_put(last)
{
	mutex_lock(pool_list_lock);
	assert(text && pool_alive && pool_ref > 0);
	pool_ref--;
	last = (pool_ref == 0);
	mutex_unlock(pool_list_lock);
	if
	:: last ->
		use_pool();
		if
		:: range_claimed -> range_release()
		:: else
		fi;
		pool_alive = false
	:: else
	fi
}

/* hide() */
inline hide()
{
	mutex_lock(pool_list_lock);
	use_pool();
	pool_hidden = true;
	mutex_unlock(pool_list_lock)
}

/* buddy_pool_mark_gone() */
inline mark_gone()
{
	hide();
	down_write(range_writer, range_readers);
	gone = true;
	up_write(range_writer);
	/* blocking_notifier_call_chain(), and what the client does when it is called */
	use_pool();
	down_read(notifiers_writer, notifiers_readers);
	if
	:: notifier_registered -> assert(notifier_alive); told = true
	:: else
	fi;
	up_read(notifiers_readers)
}

/*
 * buddy_chardev.c
 */

/* kref_put(&node->ref, release_node), which puts the pool */
inline node_put(last)
{
	atomic {
		use_node();
		assert(node_ref > 0);
		node_ref--;
		last = (node_ref == 0)
	};
	if
	:: last ->
#ifndef BUG_POOL_NOT_REFERENCED
		pool_put(last);
#endif
		assert(text);
		node_alive = false
	:: else
	fi
}

/* zap_mappings(): of each file in the list */
inline zap_mappings()
{
	mutex_lock(files_lock);
	use_node();
	n = 0;
	do
	:: n < 2 && file_listed[n] -> use_file(n); page[n] = false; n++
	:: n < 2 && !file_listed[n] -> n++
	:: else -> break
	od;
#ifdef BUG_ZAP_WAITS
	/* Until all have closed their files, instead of taking the mappings away */
	(!file_listed[0] && !file_listed[1]);
#endif
	mutex_unlock(files_lock)
}

/* misc_deregister(): no open() is under way afterwards, and none comes. */
inline misc_deregister()
{
	mutex_lock(misc_mtx);
	use_node();
	misc_registered = false;
	mutex_unlock(misc_mtx)
}

/* buddy_node_destroy() */
inline node_destroy()
{
#ifdef BUG_ZAP_FIRST
	zap_mappings();
	mark_gone();
#else
	mark_gone();
#ifdef BUG_RELEASE_RANGE_EARLY
	range_release();
#endif
#ifndef BUG_NO_ZAP
	zap_mappings();
#endif
#endif
#ifdef BUG_NODE_PUT_EARLY
	node_put(last);
	mutex_lock(misc_mtx);
	misc_registered = false;
	mutex_unlock(misc_mtx)
#else
	misc_deregister();
	node_put(last)
#endif
}

/* buddy_node_pause(), the reset itself, buddy_node_resume(): buddy_pci.c calls them. */
inline reset()
{
	use_pool();
	down_write(range_writer, range_readers);
	paused = true;
	up_write(range_writer);
	zap_mappings();
	assert(no_pages() && !inside);
	in_reset = true;
	in_reset = false;
	use_pool();
	down_write(range_writer, range_readers);
	paused = false;
	up_write(range_writer)
}

/* buddy_node_retire(), with buddy_pool_retire() in it */
inline node_retire(retired)
{
	retired = false;
#ifndef BUG_RETIRE_UNLOCKED
	mutex_lock(files_lock);
#endif
	use_node();
	if
	:: node_ref > 1
	:: else ->
		mutex_lock(pool_list_lock);
		use_pool();
		if
		:: pool_ref > 2
		:: else -> pool_hidden = true; retired = true
		fi;
		mutex_unlock(pool_list_lock)
	fi;
	if
	:: retired -> node_retired = true
	:: else
	fi;
#ifndef BUG_RETIRE_UNLOCKED
	mutex_unlock(files_lock);
#endif
	/* Nobody had it, and nobody gets it. */
	assert(!retired || node_ref == 1 && pool_ref <= 2)
}

/* destroy_bar() of buddy_pci.c, or buddy_admin_destroy() for a range that is no BAR */
inline destroy()
{
	node_destroy();
	if
	:: over_bar -> use_pool(); range_release()
	:: else
	fi;
	pool_put(last)
}

/*
 * The administrator: udev, sysfs, configfs, insmod, rmmod, or a hand that pulls a card
 */
proctype admin()
{
	bool last, there = true;
	byte n;

	if
	:: module_state == COMING ->
		/* Another pool could not be made: remove_all(), wait_for_openers(). */
		destroy();
#ifndef BUG_OPENERS_NOT_AWAITED
		assert(!file_alive[0] && !file_alive[1]);
		module_refs == 0;
#endif
		goto unload
	:: else
	fi;
	if
	:: over_bar -> reset()
	:: skip
	fi;
	if
	:: node_retire(last);
		if
		:: last -> destroy(); there = false
		:: else
		fi
	:: skip
	fi;
	if
	:: there && over_bar -> destroy(); there = false
	:: skip
	fi;
	/* try_stop_module(), which fails while there are references */
end_in_use:
	atomic { module_refs == 0 -> module_state = GOING };
	if
	:: there -> destroy()
	:: else
	fi;
unload:
	text = false;
	nr_actors--
}

/*
 * A program with the node open
 */

/* enter_node() */
inline enter_node(f, err)
{
	mutex_lock(files_lock);
	use_node();
	if
	:: node_retired -> err = ENODEV
	:: else -> node_ref++; file_listed[f] = true; err = OK
	fi;
	mutex_unlock(files_lock)
}

/* buddy_quota_open() and buddy_quota_close(), each all under quota_lock */
inline quota_open()
{
	d_step {
		use_node();
		if
		:: !user_files -> user_alive = true
		:: else
		fi;
		user_files++
	}
}

inline quota_close()
{
	d_step {
		use_node();
		assert(user_alive && user_files > 0);
		user_files--;
		if
		:: !user_files -> user_alive = false
		:: else
		fi
	}
}

/* misc_open(), which has misc_mtx, and in it buddy_file_open() */
inline open(f, err)
{
	mutex_lock(misc_mtx);
	/* fops_get() */
	if
	:: !misc_registered || module_state == GOING ->
		mutex_unlock(misc_mtx);
		goto out
	:: atomic { misc_registered && module_state != GOING -> module_refs++ }
	fi;
	use_node();
	err = OK;
#ifndef BUG_OPEN_WHILE_COMING
	if
	:: module_state == COMING -> err = ENODEV
	:: else
	fi;
#endif
	if
	:: err == OK ->
		file_alive[f] = true;
		quota_open();
		enter_node(f, err);
		if
		:: err != OK -> quota_close(); file_alive[f] = false
		:: else
		fi
	:: else
	fi;
	assert(text);
	mutex_unlock(misc_mtx);
	if
	:: err != OK -> put_module(); goto out
	:: else
	fi
}

/* do_alloc(): buddy_pool_alloc_row(), buddy_pool_zero_new() and the way back from it */
inline ioctl_alloc(f, has, err)
{
	use_file(f);
	use_pool();
	if
	:: gone
	:: else ->
		nr_blocks++;
		do
		:: try_enter_range(err);
			if
			:: err != EAGAIN -> break
			:: else
			fi
		od;
		if
		:: err == OK ->
			assert(range_claimed && !in_reset);
			leave_range();
			has = true
		:: else -> use_pool(); nr_blocks--
		fi
	fi
}

/* buddy_vma_fault(), again until it has a page or SIGBUS */
inline fault(f, err)
{
#ifdef BUG_FAULT_OUTSIDE
	use_file(f);
	err = ENODEV;
	if
	:: gone || paused
	:: else -> assert(range_claimed); page[f] = true
	fi;
	assert(range_claimed || !page[f])
#else
	do
	:: use_file(f);
		try_enter_range(err);
		if
		:: err != EAGAIN -> break
		:: else
		fi
	od;
	if
	:: err == OK ->
		assert(range_claimed && !in_reset);
		page[f] = true;
		leave_range()
	:: else
	fi
#endif
}

/* buddy_file_release(), after the last of the descriptor, calls and mappings */
inline release(f, has, last)
{
	mutex_lock(files_lock);
	use_file(f);
	file_listed[f] = false;
	mutex_unlock(files_lock);
	use_file(f);
	if
	:: has -> use_pool(); nr_blocks--
	:: else
	fi;
#ifdef BUG_NODE_PUT_BEFORE_QUOTA
	node_put(last);
	quota_close();
#else
	quota_close();
	node_put(last);
#endif
	assert(text);
	file_alive[f] = false;
	/* fops_put() */
	put_module()
}

proctype user(byte f)
{
	bool has, last;
	mtype err;

	open(f, err);
	maybe_sleep();
	if
	:: ioctl_alloc(f, has, err)
	:: skip
	fi;
	/* buddy_file_mmap(): the mapping keeps the file, and goes before it. */
	if
	:: use_file(f);
		use_pool();
		if
		:: has && !gone ->
			fault(f, err);
			maybe_sleep();
			/* Only if that page was taken away: else there is no fault. */
			if
			:: !page[f] -> fault(f, err)
			:: else
			fi;
			/* munmap() takes the page away before buddy_vma_close(). */
			page[f] = false;
			use_file(f)
		:: else
		fi
	:: skip
	fi;
	release(f, has, last);
out:
	nr_actors--
}

/*
 * Another module, which is a client of the pool
 */
proctype client()
{
	bool has, last;

	/* Loading it resolves symbols, which only a live module has. */
	if
	:: atomic { module_state == LIVE -> module_refs++ }
	:: module_state != LIVE -> goto out
	fi;
	/* buddy_pool_get() */
	mutex_lock(pool_list_lock);
	assert(text);
	if
	:: !pool_hidden -> use_pool(); pool_ref++; has = true
	:: else
	fi;
	mutex_unlock(pool_list_lock);
	if
	:: !has -> goto unload
	:: else
	fi;
	/* buddy_pool_register_notifier() */
	notifier_alive = true;
	use_pool();
#ifdef BUG_REGISTER_UNLOCKED
	if
	:: gone -> goto put
	:: else
	fi;
#else
	down_read(range_writer, range_readers);
	if
	:: gone -> up_read(range_readers); goto put
	:: else
	fi;
#endif
	down_write(notifiers_writer, notifiers_readers);
	notifier_registered = true;
	up_write(notifiers_writer);
#ifndef BUG_REGISTER_UNLOCKED
	up_read(range_readers);
#endif
	/* It uses the memory until it is told not to. */
	atomic {
		if
		:: !told -> assert(range_claimed)
		:: else
		fi
	};
	maybe_sleep();
	atomic {
		if
		:: !told -> assert(range_claimed)
		:: else
		fi
	};
	/* buddy_pool_unregister_notifier(): it is not being called afterwards. */
	use_pool();
	down_write(notifiers_writer, notifiers_readers);
	notifier_registered = false;
	up_write(notifiers_writer);
put:
	notifier_alive = false;
	pool_put(last);
unload:
	put_module();
out:
	nr_actors--
}

init
{
	atomic {
		if
		:: over_bar = true
		:: over_bar = false
		fi;
#ifdef BUG_POOL_NOT_REFERENCED
		pool_ref = 1;
#else
		pool_ref = 2;
#endif
		nr_actors = 3;
		if
		:: module_state = COMING; run user(1)
		:: run user(1)
		:: run client()
		fi;
		run user(0);
		run admin()
	};
end_running:
	nr_actors == 0;
	/* Nothing is left. */
	assert(!text && !pool_alive && !pool_ref && !range_claimed && !nr_blocks);
	assert(!node_alive && !node_ref && !misc_registered);
	assert(!file_alive[0] && !file_alive[1] && no_pages() && !user_alive && !user_files);
	assert(!notifier_alive && !notifier_registered && !module_refs);
	assert(!misc_mtx && !files_lock && !pool_list_lock && !range_writer && !range_readers &&
	       !notifiers_writer && !notifiers_readers)
}
