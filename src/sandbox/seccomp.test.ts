/** The filter, executed here by a few lines of classic BPF for both architectures, and by the kernel for this one. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { arch } from 'node:os'
import test, { after } from 'node:test'
import { capture } from '../host/process.ts'
import { removeTree } from './area.ts'
import { boxOf, freshArea, makeFolder, see, standOn, world } from './fixture.ts'
import { denied, inspected, seccompFilter } from './seccomp.ts'

const machines = [
  ['x64', 0xc000003e, 0, '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'],
  ['arm64', 0xc00000b7, 1, '/usr/include/asm-generic/unistd.h'],
] as const

/** What the filter answers to a call: `allow`, `kill` or an errno. */
function ask(filter: Buffer, audit: number, number: number, ...args: number[]): string | number {
  const words = new Map([[0, number], [4, audit], ...args.map((value, index) => [16 + 8 * index, value] as const)])
  let held = 0
  for (let at = 0; at < filter.length; at += 8) {
    const [code, yes, no] = [filter.readUInt16LE(at), filter.readUInt8(at + 2), filter.readUInt8(at + 3)]
    const value = filter.readUInt32LE(at + 4)
    if (code === 0x06) return value === 0x7fff0000 ? 'allow' : value === 0x80000000 ? 'kill' : value & 0xffff
    if (code === 0x20) held = words.get(value) ?? 0
    else {
      const tests: Record<number, boolean> = { 0x15: held === value, 0x35: held >= value, 0x45: (held & value) !== 0 }
      at += 8 * (tests[code] === true ? yes : no)
    }
  }
  throw new Error('the program has no end')
}

for (const [machine, audit, column, header] of machines) {
  const filter = seccompFilter(machine)!
  const call = (number: number, ...args: number[]) => ask(filter, audit, number, ...args)

  test(`${machine}: every denied call is refused with EPERM, ordinary ones pass, another machine's kill`, () => {
    const numbers = Object.values(denied).flatMap((each) => each[column] ?? [])
    assert.ok(numbers.length > 40)
    assert.deepEqual(new Set(numbers.map((number) => call(number))), new Set([1]))
    const ordinary = Array.from({ length: 470 }, (_, number) => number)
      .filter((number) => !numbers.includes(number) && number !== inspected.clone3[column])
      .filter((number) => number !== inspected.socket[column])
    assert.deepEqual(new Set(ordinary.map((number) => call(number))), new Set(['allow']))
    assert.equal(ask(filter, 0x40000003, 0), 'kill') // 32-bit programs have other numbers
    assert.equal(call(0x40000000), 1)
  })

  test(`${machine}: clone may make no namespace, clone3 is not there, terminals and exotic sockets are closed`, () => {
    const { clone, clone3, ioctl, socket } = inspected
    const flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
    assert.deepEqual(
      [...flags.map((flag) => call(clone[column], flag | 17)), call(clone[column], 0x3d0f00), call(clone3[column])],
      [1, 1, 1, 1, 1, 1, 1, 'allow', 38],
    )
    assert.deepEqual(
      [0x5412, 0x541c, 0x5401].map((request) => call(ioctl[column], 0, request)),
      [1, 1, 'allow'],
    )
    const families = Array.from({ length: 46 }, (_, family) => family).filter(
      (family) => call(socket[column], family) === 'allow',
    )
    assert.deepEqual([families, call(socket[column], 40)], [[1, 2, 10, 16], 97])
  })

  const missing = !existsSync(header) && `${header} is not on this machine`
  test(`${machine}: the numbers are those of the kernel's own header`, { skip: missing }, () => {
    const found = [...readFileSync(header, 'utf8').matchAll(/^#define __NR(?:3264)?_(\w+)\s+(?:__NR3264_)?(\d+)\s*$/gm)]
    const numbers = new Map(found.map(([, name, number]) => [name, Number(number)]))
    const all = { ...denied, ...inspected }
    assert.deepEqual(
      Object.keys(all).map((name) => [name, numbers.get(name) ?? null]),
      Object.entries(all).map(([name, each]) => [name, each[column]]),
    )
  })
}

test('where the numbers are not known there is no filter', () => assert.equal(seccompFilter('riscv64'), null))

const folder = await makeFolder()
after(() => removeTree(folder))
const sandbox = await standOn('namespace', folder)
const column = machines.find(([machine]) => machine === arch())?.[2]
const perl = '/usr/bin/perl'
const skip =
  typeof sandbox === 'string'
    ? sandbox
    : column === undefined
      ? `no filter for ${arch()}`
      : !existsSync(perl) && `${perl} is not on this machine`

test('the kernel refuses inside what it allows outside', { skip }, async () => {
  if (typeof sandbox === 'string' || column === undefined) throw new Error('skipped')
  const number = (name: string) => denied[name]![column]
  // GET_KEYRING_ID of the session, what personality we have, a user namespace by clone and by unshare. TRACEME comes last, the cloned child
  // is waited for before: a traced process stops for good at the next signal, and its child's end is one.
  const calls = [
    [number('keyctl'), 0, -3, 1],
    [number('personality'), 0xffffffff],
    [inspected.clone[column], 0x10000011, 0, 0, 0, 0],
    [number('unshare'), 0x10000000],
    [inspected.socket[column], 40, 1, 0],
    [inspected.clone3[column], 0, 0],
    [number('ptrace'), 0, 0, 0],
  ]
  const program = calls.map(
    (call) => `my $r = syscall(${call.join(',')}); my $e = $!+0;
      if (${call[0]} == ${inspected.clone[column]}) { exit 0 if $r == 0; wait if $r > 0 }
      print $r == -1 ? $e : 'done', ' ';`,
  )
  const argv = [perl, '-e', `$| = 1; ${program.map((each) => `{ ${each} }`).join(' ')}`]
  const inside = await see(sandbox, boxOf(await freshArea(folder), argv))
  const outside = await capture(world.spawn, { file: perl, args: argv.slice(1), cwd: '/', env: {} })
  assert.equal(inside.stdout, '1 1 1 1 97 38 1 ', inside.stderr)
  const allowed = outside.stdout.trim().split(' ')
  assert.deepEqual(
    [...allowed.slice(0, 4), allowed[6]].filter((each) => each === '1'),
    [],
    `outside: ${outside.stdout}`,
  )
  assert.notEqual(allowed[5], '38') // clone3 is there and says what is wrong with no arguments
})
