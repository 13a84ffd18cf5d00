#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""N20: plants one small fault after the other in buddy_core.c and sees whether the tests fail.

usage: mutate.py DIR CC FLAGS [--share N] [--jobs N] [--only TEXT] [--list]

A mutant is one change of one place: an operator for its neighbour, a condition for its
opposite, a number for the next, a statement for none. It is killed if a test fails, does
not end or crashes, or if the compiler warns. DIR/mutants has the test programs, built
against libcore.so, and DIR/tsan what the step counter is linked from.

--share N takes about one of N mutants; which ones depends on the text of the line and not
on what else is in the file. Those in mutants.list survive, for the reason given there; it
is an error if others do, if one of them is none any more, or if less than 90 % are killed.
"""
import argparse
import concurrent.futures
import functools
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(HERE, '..', '..', 'buddy_core.c')
LIST = os.path.join(HERE, 'mutants.list')

# What kills most comes first. The step counter takes long, and is for what is only slower.
TESTS = ['unit', 'exhaustive natural 1 8 6', 'exhaustive exact 1 6 5', 'exhaustive borders 4',
         'random --seed 5 --ops 100000', 'corrupt', 'steps']
CPU_SECONDS = 10
STEPS_CPU_SECONDS = 100
MEMORY = 16 << 30
WARNINGS = ['-Wall', '-Wextra', '-Werror']
# What UBSan says in the asan- runs of the same tests
TRAPS = ['-fsanitize=bounds,shift', '-fsanitize-undefined-trap-on-error']

SWAPS = {
    ' < ': [' <= '], ' <= ': [' < '], ' > ': [' >= '], ' >= ': [' > '],
    ' == ': [' != '], ' != ': [' == '], ' && ': [' || '], ' || ': [' && '],
    ' + ': [' - '], ' - ': [' + '], ' * ': [' + '], ' / ': [' * '],
    ' & ': [' | '], ' | ': [' & '], ' ^ ': [' | '], ' << ': [' >> '], ' >> ': [' << '],
    ' += ': [' -= '], ' -= ': [' += '], ' |= ': [' = '], ' &= ': [' |= '],
    '++': ['--'], '--': ['++'], 'true': ['false'], 'false': ['true'],
    'max(': ['min('], 'min(': ['max('], 'continue;': ['break;'], 'break;': ['continue;'],
    '~': [''], '!': [''],
}
TOKEN = re.compile(
    r' (?:<=|>=|==|!=|&&|\|\||\+=|-=|\|=|&=|<<|>>|[-<>+*/&|^]) |\+\+|--|\b(?:true|false)\b|'
    r'\b(?:max|min)\(|\b(?:continue|break);|~|!(?!=|!)|(?<![\w.])\d+\b')
STATEMENT = re.compile(r'\t+(?:[^\s;{}()][^;{}]* [-+|&]?= [^;]*|[^;{}()= ]+(?:\+\+|--)|\w+\([^;]*\));')
CONDITION = re.compile(r'(\t+(?:\} else )?(?:if|while) )\((.*)\)( \{)?')


def is_balanced(text):
    depth = 0
    for char in text:
        depth += (char == '(') - (char == ')')
        if depth < 0:
            return False
    return depth == 0


def variants(line, is_whole):
    """All mutants of a line of code. is_whole: it may be a statement of its own"""
    for match in TOKEN.finditer(line):
        text = match.group()
        for new in SWAPS.get(text) or [str(int(text) + 1)]:
            yield line[:match.start()] + new + line[match.end():]
    match = CONDITION.fullmatch(line)
    if match and is_balanced(match.group(2)):
        yield '%s(!(%s))%s' % (match.group(1), match.group(2), match.group(3) or '')
    if is_whole and STATEMENT.fullmatch(line):
        yield re.match(r'\t+', line).group() + ';'


def all_mutants(source):
    """(name, line number, new text of the line); the name says what it is"""
    lines = re.sub(r'/\*.*?\*/', lambda c: re.sub(r'[^\n]', ' ', c.group()), source,
                   flags=re.S).split('\n')
    function, before = '', ';'
    for number, line in enumerate(lines):
        line = line.rstrip()
        match = re.match(r'[a-z].*?(\w+)\(', line)
        if match:
            function = match.group(1)
        if line.startswith('\t') and function and not line.lstrip().startswith('"'):
            for new in variants(line, before[-1] in ';{}:)'):
                yield '%s: %s => %s' % (function, line.strip(), new.strip()), number, new
        before = line or before


def limit(seconds):
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def succeeds(command, **more):
    return not subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False, **more).returncode


def build(args, work):
    """The library; False if the compiler does not take it, or warns"""
    return succeeds([args.cc, *args.flags.split(), *WARNINGS, *TRAPS, '-O1', '-fPIC', '-shared',
                     work + '/buddy_core.c', '-o', work + '/libcore.so'])


def build_steps(args, work):
    parts = [args.dir + '/tsan/' + part + '.o' for part in ('steps', 'model', 'fast', 'rig')]
    return succeeds([args.cc, *args.flags.split(), '-O2', '-fsanitize=thread', '-c',
                     work + '/buddy_core.c', '-o', work + '/core.o']) and \
        succeeds([args.cc, *parts, work + '/core.o', '-o', work + '/steps'])


def killer(args, source, number, new):
    """What kills a mutant, or None"""
    work = tempfile.mkdtemp(dir=args.dir + '/mutants')
    lines = source.split('\n')
    lines[number] = new
    with open(work + '/buddy_core.c', 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines))
    try:
        if not build(args, work):
            return 'the compiler'
        for test in TESTS:
            program, *rest = test.split()
            where, seconds = args.dir + '/mutants', CPU_SECONDS
            if program == 'steps':
                where, seconds = work, STEPS_CPU_SECONDS
                if not build_steps(args, work):
                    return 'the compiler'
            if not succeeds([where + '/' + program, *rest],
                            preexec_fn=functools.partial(limit, seconds),
                            env=dict(os.environ, LD_LIBRARY_PATH=work)):
                return program
        return None
    finally:
        shutil.rmtree(work)


def read_list():
    """What survives, and why: 'MUTANT | REASON' a line"""
    with open(LIST, encoding='utf-8') as file:
        lines = [line.rstrip('\n') for line in file if not line.startswith('#')]
    return dict(line.rsplit(' | ', 1) for line in lines if line)


def is_chosen(args, name):
    if args.only:
        return args.only in name
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % args.share == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dir')
    parser.add_argument('cc')
    parser.add_argument('flags')
    parser.add_argument('--share', type=int, default=1)
    parser.add_argument('--jobs', type=int, default=1)
    parser.add_argument('--only')
    parser.add_argument('--list', action='store_true')
    args = parser.parse_args()
    with open(SOURCE, encoding='utf-8') as file:
        source = file.read()
    mutants = list({m[0]: m for m in all_mutants(source)}.values())
    chosen = [m for m in mutants if is_chosen(args, m[0])]
    if args.list:
        print('\n'.join(m[0] for m in chosen))
        return 0
    known = read_list()
    stale = known.keys() - {m[0] for m in mutants}
    survivors, by = [], {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(killer, args, source, m[1], m[2]): m[0] for m in chosen
                if m[0] not in known or args.share == 1}
        for job in concurrent.futures.as_completed(jobs):
            by[job.result()] = by.get(job.result(), 0) + 1
            if job.result() is None:
                survivors.append(jobs[job])
            elif jobs[job] in known:
                stale.add(jobs[job])
            if job.result() is None and jobs[job] not in known:
                print('# survives:', jobs[job], flush=True)
    new = [name for name in survivors if name not in known]
    built = len(chosen) - by.pop('the compiler', 0)
    dead = sum(nr for name, nr in by.items() if name)
    print('KTAP version 1')
    print('# %d of %d mutants tried; killed by: %s' % (
        built, len(mutants), ', '.join('%s %d' % k for k in by.items() if k[0])))
    for name in sorted(stale):
        print('# no survivor, or no mutant, any more:', name)
    print('%s 1 the survivors are those that are known' % ('not ok' if new or stale else 'ok'))
    print('%s 2 %d of %d mutants are killed' % ('ok' if dead * 10 >= built * 9 else 'not ok',
                                                 dead, built))
    print('1..2')
    return 0


sys.exit(main())
