/* SPDX-License-Identifier: GPL-2.0 */
/*
 * N17: blocks and rows of an open file, from the request to the last reference.
 *
 * Two threads have one file. Each makes two calls of any kind (alloc of one or two
 * blocks, free of one or two handles, mmap, munmap, fork), then unmaps what it has and
 * closes. They begin with one of three states: a row of three, such a row with a
 * hole, or no block.
 *
 * What is proved: no block is freed twice, nor while it is mapped, nor lost; no row is
 * used after it was freed; rows never overlap; held and charged blocks are never less
 * than none. In the end all blocks are free, nothing is held or charged, no row is left.
 *
 * What is left out:
 *  - The pool: three blocks, each in use or not, taken and given back in one step, which
 *    is what buddy_shard.lock makes of it. A request gets as many side by side as it
 *    asked for, or fewer.
 *  - The trees: a row is in a tree or not. A look-up goes through all rows.
 *  - Zeroing, which nobody sees but the thread that does it. It is where blocks are not
 *    free yet nor anybody's, a step of its own in any case.
 *  - Rows of more than three blocks, and lengths: each block is one min block.
 *  - Another file: files share the pool and quotas, whose steps are the same ones.
 *
 * Faults that are planted with -D, and what must be said of each:
 *
 * BUG_MAP_AFTER_UNLOCK: assertion violated .*state
 * BUG_MAP_NOT_ISOLATED: assertion violated .*nr_mapped
 * BUG_FREE_IGNORES_MAPPINGS: assertion violated .*nr_mapped
 * BUG_HOLD_AFTER_PUT: assertion violated .*held
 * BUG_HELD_STAYS_CHARGED: assertion violated .*charged
 * BUG_SETTLED_TWICE: assertion violated .*state
 * BUG_SPARE_TAKEN_TWICE: assertion violated .*state
 * BUG_SPARE_OVERWRITTEN: assertion violated .*state
 * BUG_HOLE_NOT_SPLIT: assertion violated .*y==255
 * BUG_DROPPED_HANDLE_STAYS: assertion violated .*by_handle
 * BUG_FORK_NOT_COUNTED: assertion violated .*held
 */

#define BLOCKS	3
#define ROWS	5		/* in kernel memory; with none left, new_row() fails */
#define NONE	255
#ifndef CALLS_A
#define CALLS_A 2
#define CALLS_B 1
#endif

/* Of the memory of a row: free, in buddy_file.spare, or a row */
mtype = { FREED, SPARE, ROW };

typedef row_t {
	mtype state;
	byte ref;		/* 1 for all handles, and each mapping */
	byte handle;		/* of block 0 */
	byte offset;		/* likewise */
	byte live;		/* bit n: block n has a handle */
	bool by_handle;		/* in that tree */
	bool by_offset;		/* in that tree, too: the handles are valid */
};
row_t row[ROWS];

typedef piece_t {
	byte offset;
	byte count;
	byte row;		/* if these were the last of it, else NONE */
	byte in;		/* the row they are taken from, and where there, */
	byte first;		/* which is used with the file locked only */
};

/* struct buddy_file */
bool file_lock;
byte last_handle;
byte spare = NONE;
byte file_refs;			/* the threads' descriptors; their mappings go before */

/* The pool, its statistics and quotas, and what pages there are */
bool in_use[BLOCKS];
byte held, charged;
byte nr_mapped[BLOCKS];

byte nr_actors;

#define use_row(r)	assert(r != NONE && row[r].state == ROW)
#define length(r)	(row[r].live & 4 -> 3 : (row[r].live & 2 -> 2 : row[r].live & 1))
#define has(r, n)	(row[r].live >> (n) & 1)
#define mask(n)		((1 << (n)) - 1)
#define covers(r, at)	(row[r].by_offset && (at) >= row[r].offset && \
			 (at) < row[r].offset + length(r))

inline lock_file() { atomic { !file_lock -> file_lock = true } }
inline unlock_file() { file_lock = false }

/*
 * buddy_pool.c, buddy_quota.c: one step each, under the lock of a shard or quota_lock
 */

inline pool_free_row(from, many)
{
	d_step {
		i = from;
		do
		:: i < from + many ->
			assert(in_use[i]);
			assert(nr_mapped[i] == 0);
			in_use[i] = false;
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline pool_hold(many) { held = held + many }
inline pool_unhold(many) { atomic { assert(held >= many); held = held - many } }
inline quota_uncharge(many) { atomic { assert(charged >= many); charged = charged - many } }

/*
 * Where rows come from
 */

inline init_row(r)
{
	assert(!row[r].by_handle && !row[r].by_offset);
	row[r].ref = 1
}

inline new_row(r)
{
	r = NONE;
	if
	:: spare != NONE ->
		/* xchg() */
#ifdef BUG_SPARE_TAKEN_TWICE
		r = spare;
#endif
		d_step {
#ifndef BUG_SPARE_TAKEN_TWICE
			r = spare;
#endif
			spare = NONE;
			if
			:: r != NONE -> row[r].state = ROW; init_row(r)
			:: else
			fi
		}
	:: else
	fi;
	if
	:: r == NONE ->
		/* kmem_cache_alloc() */
		d_step {
			r = 0;
			do
			:: r < ROWS && row[r].state != FREED -> r++
			:: else -> break
			od;
			if
			:: r == ROWS -> r = NONE
			:: else -> row[r].state = ROW; init_row(r)
			fi
		}
	:: else
	fi
}

inline free_row(r)
{
	d_step {
		use_row(r);
		assert(!row[r].by_handle && !row[r].by_offset);
		row[r].ref = 0;
		row[r].handle = 0;
		row[r].offset = 0;
		row[r].live = 0;
		kept = (spare == NONE)
	};
	if
	:: kept ->
		kept = false;
		/* cmpxchg(), and if it fails, back to the slab */
#ifdef BUG_SPARE_OVERWRITTEN
		atomic { row[r].state = SPARE; spare = r }
#else
		d_step {
			if
			:: spare == NONE -> spare = r; row[r].state = SPARE
			:: else -> row[r].state = FREED
			fi
		}
#endif
	:: else -> row[r].state = FREED
	fi;
	r = NONE
}

inline put_spares()
{
	if
	:: s0 != NONE -> free_row(s0)
	:: else
	fi;
	if
	:: s1 != NONE -> free_row(s1)
	:: else
	fi
}

/*
 * Splitting. With the file locked. These are parts of a step.
 */

inline trim(r)
{
	do
	:: !(row[r].live & 1) ->
		row[r].handle++;
		row[r].offset++;
		row[r].live = row[r].live >> 1
	:: else -> break
	od
}

inline split(r, n, rest)
{
	use_row(r);
	use_row(rest);
	row[rest].handle = row[r].handle + n;
	row[rest].offset = row[r].offset + n;
	row[rest].live = row[r].live >> n;
	trim(rest);
	row[r].live = row[r].live & mask(n);
	row[rest].by_handle = true;
	row[rest].by_offset = true
}

/* take_spare(): s0, then s1 */
inline split_with_spare(r, n)
{
	if
	:: s0 != NONE -> x = s0; s0 = NONE
	:: else -> x = s1; s1 = NONE
	fi;
	split(r, n, x)
}

/* find_offset() without the test of the hole. Rows never overlap. */
inline find_offset(at, r)
{
	r = NONE;
	i = 0;
	do
	:: i < ROWS ->
		assert(!(row[i].by_handle || row[i].by_offset) || row[i].state == ROW);
		if
		:: covers(i, at) ->
			assert(r == NONE /* no overlap */);
			r = i
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/*
 * Handles
 */

/* find_handle() */
inline find_handle(h, r, n)
{
	r = NONE;
	i = 0;
	do
	:: i < ROWS ->
		assert(!(row[i].by_handle || row[i].by_offset) || row[i].state == ROW);
		if
		:: row[i].by_offset && h >= row[i].handle && h - row[i].handle < length(i) &&
		   has(i, h - row[i].handle) ->
			assert(r == NONE /* no overlap */);
			r = i;
			n = h - row[i].handle
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

/* try_reserve_handles() of rows [0, nr); err says that it takes a spare */
inline try_reserve_handles()
{
	lock_file();
	d_step {
		err = false;
		do
		:: !err && cleared < nr ->
			find_offset(row[new[cleared]].offset, y);
#ifdef BUG_HOLE_NOT_SPLIT
			y = NONE;
#endif
			if
			:: y == NONE -> cleared++
			:: y != NONE && s0 == NONE -> err = true
			:: else ->
				/* The new block is in a hole: there are blocks on both sides. */
				n = row[new[cleared]].offset - row[y].offset;
				assert(n > 0 && !has(y, n) && row[y].live >> n != 0);
				split_with_spare(y, n + 1);
				trim(y);
				cleared++
			fi
		:: else -> break
		od;
		y = 0;
		do
		:: !err && y < nr ->
			row[new[y]].handle = last_handle + 1;
			last_handle = last_handle + length(new[y]);
			row[new[y]].by_handle = true;
			y++
		:: else -> break
		od;
		y = NONE;
		n = 0;
		x = NONE
	};
	unlock_file()
}

/* buddy_rows_publish() */
inline rows_publish()
{
	lock_file();
	d_step {
		k = 0;
		do
		:: k < nr ->
			use_row(new[k]);
			/* Nobody else's: what it covers is covered by no other. */
			find_offset(row[new[k]].offset, y);
			assert(y == NONE /* no overlap */);
			row[new[k]].by_offset = true;
			new[k] = NONE;
			k++
		:: else -> break
		od;
		k = 0;
		y = NONE
	};
	unlock_file()
}

/* forget_rows() */
inline forget_rows()
{
	quota_uncharge(want);
	k = 0;
	do
	:: k < nr ->
		pool_free_row(row[new[k]].offset, length(new[k]));
		free_row(new[k]);
		k++
	:: else -> break
	od;
	k = 0
}

/* fill_rows(): as many rows as it takes, those side by side made one */
inline fill_rows()
{
	do
	:: !err && filled < want ->
		new_row(r);
		if
		:: r == NONE -> err = true; break
		:: else
		fi;
		/* take_memory(), of one block or of as many as there are side by side */
		if
		:: n = 1
		:: n = want - filled
		fi;
		d_step {
			use_row(r);
			i = 0;
			do
			:: i < BLOCKS && in_use[i] -> i++
			:: else -> break
			od;
			row[r].offset = i;
			row[r].live = 0;
			do
			:: n && i < BLOCKS && !in_use[i] ->
				in_use[i] = true;
				row[r].live = row[r].live << 1 | 1;
				i++;
				n--;
			:: else -> break
			od;
			i = 0;
			n = 0
		};
		if
		:: row[r].live == 0 -> row[r].offset = 0; free_row(r); err = true; break
		:: else
		fi;
		filled = filled + length(r);
		/* join() */
		if
		:: nr && row[r].offset == row[new[0]].offset + length(new[0]) ->
			row[new[0]].live = row[new[0]].live | row[r].live << length(new[0]);
			free_row(r)
		:: else -> new[nr] = r; r = NONE; nr++
		fi
	:: else -> break
	od
}

/* do_alloc(), do_alloc_batch(): buddy_blocks_alloc(), the answer, publish or drop */
inline alloc(many)
{
	d_step { want = many; err = false; nr = 0; filled = 0; cleared = 0 };
	/* buddy_quota_charge(); the quota is all there is */
	d_step {
		if
		:: charged + want > BLOCKS -> err = true
		:: else -> charged = charged + want
		fi
	};
	if
	:: err
	:: else ->
		fill_rows();
		/* reserve_handles() */
		do
		:: err -> break
		:: else ->
			try_reserve_handles();
			if
			:: !err -> break
			:: else
			fi;
			new_row(s0);
			err = (s0 == NONE)
		od;
		put_spares();
		if
		:: err -> forget_rows()
		:: !err ->
			/* A bad pointer: buddy_rows_drop() */
			lock_file();
#ifndef BUG_DROPPED_HANDLE_STAYS
			d_step {
				k = 0;
				do
				:: k < nr -> use_row(new[k]); row[new[k]].by_handle = false; k++
				:: else -> break
				od;
				k = 0
			};
#endif
			unlock_file();
			forget_rows()
		:: !err -> rows_publish()
		fi
	fi;
	d_step { nr = 0; want = 0; filled = 0; cleared = 0; err = false }
}

/*
 * Taking handles away, and references
 */

/* settle(): piece k's row lost its blocks. Part of a step. */
inline settle(k)
{
	r = piece[k].in;
	use_row(r);
	if
	:: row[r].live -> trim(r)
	:: !row[r].live && row[r].by_offset ->
		row[r].by_handle = false;
		row[r].by_offset = false;
		piece[k].row = r
	:: else ->
		/* Another piece has it. */
#ifdef BUG_SETTLED_TWICE
		piece[k].row = r
#else
		skip
#endif
	fi;
	r = NONE
}

/* buddy_blocks_remove() of handles a, and b if it is not 0; nr pieces, or none */
inline blocks_remove(a, b)
{
	lock_file();
	d_step {
		nr = 0;
		k = 0;
		do
		:: k < 2 && (k == 0 || b) ->
			at = a;
			if
			:: k -> at = b
			:: else
			fi;
			find_handle(at, r, n);
			if
			:: r == NONE -> break
			:: else
			fi;
			assert(in_use[row[r].offset + n]);
			row[r].live = row[r].live & ~(1 << n);
			if
			:: nr == 1 && piece[0].in == r && piece[0].first + piece[0].count == n ->
				piece[0].count++
			:: else ->
				piece[nr].offset = row[r].offset + n;
				piece[nr].count = 1;
				piece[nr].in = r;
				piece[nr].first = n;
				piece[nr].row = NONE;
				nr++
			fi;
			k++
		:: else -> r = 0; break
		od;
		k = 0;
		if
		:: r == NONE ->
			/* There is no such handle: undo */
			do
			:: nr ->
				nr--;
				row[piece[nr].in].live = row[piece[nr].in].live |
							 mask(piece[nr].count) << piece[nr].first
			:: else -> break
			od
		:: else ->
			do
			:: k < nr -> settle(k); k++
			:: else -> break
			od
		fi;
		k = 0;
		n = 0;
		at = 0;
		r = NONE;
		piece[0].in = 0;
		piece[0].first = 0;
		piece[1].in = 0;
		piece[1].first = 0
	};
	unlock_file()
}

/* free_pieces() of one piece, or of a few one after the other */
inline free_piece(from, many, r)
{
	quota_uncharge(many);
	pool_free_row(from, many);
	if
	:: r != NONE -> free_row(r)
	:: else
	fi
}

/* buddy_row_put_mapped() */
inline row_put_mapped(r)
{
	use_row(r);
	at = row[r].offset;
	/* refcount_dec_and_test() */
	d_step {
		use_row(r);
		assert(row[r].ref > 0);
		row[r].ref--;
		err = (row[r].ref == 0)
	};
	if
	:: err ->
		pool_unhold(1);
#ifdef BUG_HELD_STAYS_CHARGED
		pool_free_row(at, 1);
		free_row(r)
#else
		free_piece(at, 1, r)
#endif
	:: else -> r = NONE
	fi;
	err = false;
	at = 0
}

/* buddy_pieces_put() */
inline pieces_put()
{
	k = 0;
	do
	:: k < nr ->
		/* refcount_dec_if_one() */
		d_step {
			at = piece[k].offset;
			want = piece[k].count;
			r = piece[k].row;
			piece[k].offset = 0;
			piece[k].count = 0;
			piece[k].row = 0;
			err = true;
			if
			:: r != NONE ->
				use_row(r);
				err = (row[r].ref == 1);
#ifdef BUG_FREE_IGNORES_MAPPINGS
				err = true;
#endif
				if
				:: err -> row[r].ref--
				:: else
				fi
			:: else
			fi
		};
		if
		:: err -> err = false; free_piece(at, want, r); at = 0
		:: else ->
			/* What is mapped is a row of one block. */
			assert(want == 1);
#ifdef BUG_HOLD_AFTER_PUT
			row_put_mapped(r);
			pool_hold(1)
#else
			pool_hold(1);
			row_put_mapped(r)
#endif
		fi;
		k++
	:: else -> break
	od;
	k = 0;
	nr = 0;
	want = 0
}

/*
 * Mappings
 */

/* try_get_mapped(): err says that it takes two spares. */
inline try_get_mapped(at)
{
	lock_file();
	d_step {
		err = false;
		find_offset(at, r);
		if
		:: r != NONE && !has(r, at - row[r].offset) -> r = NONE
		:: else
		fi;
		if
		:: r != NONE && length(r) > 1 && s1 == NONE -> err = true; r = NONE
		:: r != NONE && length(r) > 1 && s1 != NONE ->
			n = at - row[r].offset;
#ifndef BUG_MAP_NOT_ISOLATED
			/* isolate() */
			if
			:: n + 1 < length(r) -> split_with_spare(r, n + 1)
			:: else
			fi;
			if
			:: n -> split_with_spare(r, n); trim(r); r = x
			:: else
			fi;
			assert(row[r].offset == at && row[r].live == 1);
#endif
			n = 0;
			x = NONE
		:: else
		fi
	};
#ifdef BUG_MAP_AFTER_UNLOCK
	unlock_file();
#endif
	/* refcount_inc() */
	if
	:: r != NONE -> atomic { use_row(r); assert(row[r].ref > 0); row[r].ref++ }
	:: else
	fi;
#ifndef BUG_MAP_AFTER_UNLOCK
	unlock_file()
#endif
}

/* buddy_file_mmap() */
inline map(at)
{
	try_get_mapped(at);
	if
	:: err ->
		/* get_spares() */
		err = false;
		new_row(s0);
		if
		:: s0 != NONE -> new_row(s1)
		:: else
		fi;
		if
		:: s1 != NONE -> try_get_mapped(at); assert(!err)
		:: else
		fi;
		put_spares()
	:: else
	fi;
	if
	:: r != NONE ->
		d_step {
			assert(in_use[at]);
			nr_mapped[at]++;
			mapped = r;
			mapped_at = at;
			mappings = 1;
			r = NONE
		}
	:: else
	fi
}

/* fork(): buddy_vma_open(), then the pages are copied. */
inline fork()
{
	atomic {
		use_row(mapped);
#ifndef BUG_FORK_NOT_COUNTED
		assert(row[mapped].ref > 0);
		row[mapped].ref++
#endif
	};
	nr_mapped[mapped_at]++;
	mappings++
}

/* munmap(): the pages go, then buddy_vma_close() comes. */
inline unmap()
{
	assert(in_use[mapped_at]);
	nr_mapped[mapped_at]--;
	mappings--;
	r = mapped;
	if
	:: !mappings -> mapped = NONE; mapped_at = 0
	:: else
	fi;
	row_put_mapped(r)
}

/* buddy_file_release(): buddy_file_put_blocks(), with nobody else there */
inline release()
{
	k = 0;
	do
	:: k < ROWS ->
		do
		:: row[k].by_handle && row[k].live ->
			/* take_piece() */
			use_row(k);
			n = 0;
			do
			:: !has(k, n) -> n++
			:: else -> break
			od;
			at = row[k].offset + n;
			row[k].live = row[k].live & ~(1 << n);
			if
			:: !row[k].live ->
				assert(row[k].ref == 1);
				row[k].by_handle = false;
				row[k].by_offset = false;
				r = k
			:: else
			fi;
			free_piece(at, 1, r);
			at = 0;
			n = 0
		:: else -> break
		od;
		k++
	:: else -> break
	od;
	k = 0;
	if
	:: spare != NONE ->
		assert(row[spare].state == SPARE);
		row[spare].state = FREED;
		spare = NONE
	:: else
	fi
}

/* One that there is, or was, or is not yet */
inline choose_handle()
{
	atomic {
		h = 1;
		do
		:: h <= last_handle && h < 5 -> h++
		:: break
		od
	}
}

proctype thread(byte calls)
{
	byte k, i, n, nr, want, filled, cleared, at, h;
	byte r = NONE, x = NONE, y = NONE, s0 = NONE, s1 = NONE;
	byte mapped = NONE, mapped_at, mappings;
	byte new[2] = NONE;
	piece_t piece[2];
	bool err, kept;

	do
	:: calls ->
		calls--;
		if
		:: if
		   :: h = 1
		   :: h = 2
		   fi;
		   alloc(h)
		:: choose_handle();
		   blocks_remove(h, 0);
		   pieces_put()
		:: choose_handle();
		   if
		   :: blocks_remove(h, h + 1)
		   :: blocks_remove(h + 1, h)
		   fi;
		   pieces_put()
		:: !mappings ->
		   select(h : 0 .. (BLOCKS - 1));
		   map(h)
		:: mappings -> unmap()
		:: mappings -> fork()
		fi;
		h = 0
	:: else -> break
	od;
	do
	:: mappings -> unmap()
	:: else -> break
	od;
	/* fput() */
	atomic {
		file_refs--;
		err = (file_refs == 0)
	};
	if
	:: err -> err = false; release()
	:: else
	fi;
	nr_actors--
}

init
{
	byte i;

	atomic {
		do
		:: i < ROWS -> row[i].state = FREED; i++
		:: else -> break
		od;
		/* A row of three; such a row without its middle; no block, from which the fault is near */
		if
#ifndef BUG_SPARE_TAKEN_TWICE
		:: row[0].live = 7
		:: row[0].live = 5
#endif
		:: skip
		fi;
		if
		:: row[0].live ->
			row[0].state = ROW;
			row[0].ref = 1;
			row[0].handle = 1;
			row[0].by_handle = true;
			row[0].by_offset = true;
			last_handle = 3;
			in_use[0] = true;
			in_use[1] = (row[0].live == 7);
			in_use[2] = true;
			charged = (row[0].live == 7 -> 3 : 2)
		:: else
		fi;
		i = 0;
		nr_actors = 2;
		file_refs = 2;
		run thread(CALLS_A);
		run thread(CALLS_B)
	};
	nr_actors == 0;
	atomic {
		do
		:: i < BLOCKS -> assert(!in_use[i] && !nr_mapped[i]); i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < ROWS ->
			assert(row[i].state == FREED && !row[i].by_handle && !row[i].by_offset);
			i++
		:: else -> break
		od;
		assert(!held && !charged && spare == NONE && !file_lock)
	}
}
