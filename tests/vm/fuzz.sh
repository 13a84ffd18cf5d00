# SPDX-License-Identifier: GPL-2.0
# Calls at random, on small pools: tests/node/fuzz_test.c with a model and
# fuzz_threads_test.c with four threads. More of them, or with the seed of a run
# before: make fuzz CALLS=10000000 SEED=1234
#
# vm-device: -object memory-backend-ram,size=64M,share=on,id=shm
# vm-device: -device ivshmem-plain,memdev=shm,addr=2.0
# vm-device: -device pci-testdev,membar=64M,addr=3.0
# vm-append: memmap=64M$0x30000000
# vm-modules: ahci
# vm-threads: all
# vm-suite: fuzz
# vm-timeout: 120
. /t/lib.sh

BUDDY_POOL_CALLS=$(value fuzz_calls 100000)
BUDDY_POOL_SEED=$(value fuzz_seed '')
export BUDDY_POOL_CALLS BUDDY_POOL_SEED

# fuzz DESCRIPTION PROGRAM PARAMETER...
fuzz() {
	_form=$1
	_program=$2
	shift 2
	check "$_form: loads" load "$@"
	run_ktap "B59 $BUDDY_POOL_CALLS calls: $_form" "$_program"
	check "$_form: everything came back" sh -c "buddyctl stats | grep -q '^used *0\$'"
	check "$_form: unloads" unload
}

# A base that is as badly aligned as can be, and a size that is no power of two.
export BUDDY_POOL_BASE=0x30001000
fuzz "a model" fuzz_test base=$BUDDY_POOL_BASE size=5M
BUDDY_POOL_CALLS=$((BUDDY_POOL_CALLS / 4))
fuzz "a model and quotas" fuzz_test base=$BUDDY_POOL_BASE size=5M \
	max_file_blocks=60 max_file_bytes=4M max_user_blocks=100 zero=free

BUDDY_POOL_CALLS=$((BUDDY_POOL_CALLS * 4))
fuzz "four threads" fuzz_threads_test base=$BUDDY_POOL_BASE size=5M
BUDDY_POOL_CALLS=$((BUDDY_POOL_CALLS / 4))
fuzz "four threads and shards" fuzz_threads_test base=$BUDDY_POOL_BASE size=5M shards=3
done_testing
