/**
 * bench gateway: what passing through our gateway costs, metering and ledger included, beside going straight to the provider and beside two proxies a
 * person would take instead. All of them live at once in processes of their own and are visited in turn, so that noise is shared. What no gateway can
 * be without is measured in between as rows of its own: a process that only copies bytes, one that is only a hop of HTTP, and one fsync of this disk.
 * Each is walked before, as a daemon that has been up for an hour is.
 */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { build } from 'esbuild'
import { youngSpace } from '../src/cli/detach.ts' // as `up --detach` starts it
import type { Child } from '../src/host/process.ts'
import { world } from '../test/cli-rig.ts'
import { plugins, shared } from '../tools/bundle.ts'
import { cpuMsOf, median, rssMbOf, type Bench, type Row } from './measure.ts'
import { installPeers, searchedPath } from './peer.ts'

/** numbers.md: what an event, the first byte and 50 streams may cost. */
const mostEventMs = 0.15
const mostFirstMs = 1.5
const mostMb = 100

/** What `gateway-bare.mjs` is: each is in the way and does nothing else. */
const bare = ['relay', 'hop'] as const
const bareWords = { relay: 'a process that copies bytes', hop: 'a hop of node:http' } as const

const packages = { 'http-proxy-3': '2.0.1', '@portkey-ai/gateway': '1.15.2' }
const model = 'claude-opus-5-5'
const path = '/v1/messages'
/** 20 KB, as an agent's early turns have. */
const body = JSON.stringify({
  model,
  max_tokens: 4096,
  stream: true,
  messages: [{ role: 'user', content: 'x'.repeat(20_000) }],
})

/** `warmUps`: requests that each way is walked by before it is measured; `firsts`: requests in a round for their first byte alone. */
export type Extent = {
  warmUps: number
  rounds: number
  firsts: number
  events: number
  gapMs: number
  streams: readonly number[]
  peers: boolean
}
const full: Extent = { warmUps: 40, rounds: 5, firsts: 10, events: 150, gapMs: 10, streams: [1, 10, 50], peers: true }
/** A process that has been up for days has compiled what it does often. */
const warmUp = { events: 60, gapMs: 1 }
const oneEvent = { events: 1, gapMs: 1 }

export const benchGateway: Bench = (note) => measureGateway(full, note)

/** A way to the provider. `pid` null: straight. */
type Way = { name: string; pid: number | null; port: number; headers: (stream: number) => Record<string, string> }
type Seen = { events: number[]; firsts: number[]; cpuMs: number; count: number; rssMb: number }

/** The rows, for as long as `extent` says. */
export async function measureGateway(extent: Extent, note: (text: string) => void): Promise<Row[]> {
  await using stack = new AsyncDisposableStack()
  const start = async (args: readonly string[], cwd = import.meta.dirname) => {
    const stdin = new PassThrough() // whoever loses it ends, whatever becomes of us
    const child = await world.spawn({ file: process.execPath, args, cwd, env: { PATH: searchedPath }, stdin })
    stack.defer(async () => {
      stdin.end()
      await child.exit
    })
    const said = await firstWords(child)
    return { pid: child.pid, said }
  }
  const provider = await start([join(import.meta.dirname, 'gateway-provider.mjs')])
  const url = `http://127.0.0.1:${provider.said[0]}`
  const most = Math.max(...extent.streams)
  const ours = await start([youngSpace, await bundled(stack), url, String(most)])
  const [port, ...keys] = ours.said
  const plain = () => ({ 'x-api-key': 'sk-0123456789abcdef' })
  const ways: Way[] = [
    { name: 'straight', pid: null, port: Number(provider.said[0]), headers: plain },
    { name: 'ours', pid: ours.pid, port: Number(port), headers: (stream) => ({ 'x-api-key': keys[stream]! }) },
  ]
  for (const program of bare) {
    const { pid, said } = await start([join(import.meta.dirname, 'gateway-bare.mjs'), program, url])
    ways.push({ name: program, pid, port: Number(said[0]), headers: plain })
  }
  if (extent.peers) ways.push(...(await startPeers({ url, start, stack, plain, note })))
  const disk = await openDisk(stack)
  for (const way of ways) for (let n = 0; n < extent.warmUps; n += 1) await ask(way, 0, warmUp)
  const seen = new Map<string, Seen>()
  for (const streams of extent.streams)
    for (let round = 0; round < extent.rounds; round += 1)
      for (const way of shuffled(ways)) {
        if (round === 0) note(`${way.name}, ${streams} at once`)
        await visit(way, streams, extent, slot(seen, `${way.name} ${streams}`))
        disk.sync()
      }
  return [
    ...rowsOf(seen, ways, extent.streams),
    { what: 'one fsync of this disk', unit: 'ms', measured: median(disk.syncMs), baseline: null, target: null },
  ]
}

/** As much as a small commit writes, made durable: a hold must be so before its request may leave. */
async function openDisk(stack: AsyncDisposableStack): Promise<{ sync: () => void; syncMs: number[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-disk-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const file = openSync(join(folder, 'file'), 'w')
  stack.defer(() => closeSync(file))
  const syncMs: number[] = []
  return {
    syncMs,
    sync() {
      writeSync(file, Buffer.alloc(4096))
      const began = world.clock.mono()
      fdatasyncSync(file)
      syncMs.push(world.clock.mono() - began)
    },
  }
}

/** Our gateway as it ships: bundled, with the migrations beside it. */
async function bundled(stack: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-bundle-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const outfile = join(folder, 'gateway.mjs')
  const entryPoints = [join(import.meta.dirname, 'gateway-process.ts')]
  await build({ ...shared, metafile: false, sourcemap: false, entryPoints, outfile, plugins, logLevel: 'error' })
  await cp(join(import.meta.dirname, '../src/store/migrations'), join(folder, 'migrations'), { recursive: true })
  return outfile
}

type Peering = {
  url: string
  start: (args: readonly string[], cwd?: string) => Promise<{ pid: number; said: string[] }>
  stack: AsyncDisposableStack
  plain: () => Record<string, string>
  note: (text: string) => void
}

async function startPeers({ url, start, stack, plain, note }: Peering): Promise<Way[]> {
  const { folder, missing } = stack.use(await installPeers(packages, 'gateway-peer.mjs'))
  if (missing !== null) {
    note(`peers SKIPPED: ${missing}`)
    return []
  }
  const portkey = () => ({
    ...plain(),
    'x-portkey-provider': 'anthropic',
    'x-portkey-custom-host': `${url}/v1`,
    authorization: 'Bearer sk-0123456789abcdef',
  })
  const ways: Way[] = []
  for (const [name, headers] of [
    ['http-proxy-3', plain],
    ['portkey', portkey],
  ] as const) {
    const { pid, said } = await start(['gateway-peer.mjs', name, url], folder)
    const way = { name, pid, port: Number(said.at(-1)), headers }
    const answered = await ask(way, 0, oneEvent).then(
      ({ status }) => (status === 200 ? null : `it answers ${status}`),
      (error: unknown) => String(error),
    )
    if (answered === null) ways.push(way)
    else note(`${name} SKIPPED: ${answered}`)
  }
  return ways
}

/** The words of the first line a process says. */
async function firstWords({ stdout, stderr, exit }: Child): Promise<string[]> {
  stderr.resume()
  let text = ''
  for await (const chunk of stdout.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk
    const line = text.split('\n').find((each) => /^\d+( |$)/.test(each))
    if (line !== undefined && text.includes(`${line}\n`)) {
      stdout.resume()
      return line.split(' ')
    }
  }
  throw new Error(`it said ${JSON.stringify(text)} and ended with ${(await exit).code}`)
}

const slot = (seen: Map<string, Seen>, name: string): Seen => {
  const found = seen.get(name) ?? { events: [], firsts: [], cpuMs: 0, count: 0, rssMb: 0 }
  seen.set(name, found)
  return found
}

const shuffled = <T>(all: readonly T[]): T[] =>
  all
    .map((each) => ({ each, by: world.random() }))
    .toSorted((a, b) => a.by - b.by)
    .map(({ each }) => each)

/** So many streams at once through one way; what each event and each first byte took. */
async function visit(way: Way, streams: number, extent: Extent, seen: Seen): Promise<void> {
  const before = way.pid === null ? 0 : cpuMsOf(way.pid)
  const all = await Promise.all(Array.from({ length: streams }, (_, stream) => ask(way, stream, extent)))
  for (const { status, eventMs, firstMs } of all) {
    if (status !== 200) throw new Error(`${way.name} answered ${status}`)
    seen.events.push(...eventMs)
    seen.firsts.push(firstMs)
  }
  for (let n = 0; streams === 1 && n < extent.firsts; n += 1) seen.firsts.push((await ask(way, 0, oneEvent)).firstMs)
  seen.count += streams * extent.events
  if (way.pid === null) return
  seen.cpuMs += cpuMsOf(way.pid) - before
  seen.rssMb = Math.max(seen.rssMb, rssMbOf(way.pid))
}

type Answered = { status: number; firstMs: number; eventMs: number[] }

function ask(way: Way, stream: number, { events, gapMs }: { events: number; gapMs: number }): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...way.headers(stream),
      'content-type': 'application/json',
      'x-events': String(events),
      'x-gap': String(gapMs),
    }
    const began = process.hrtime.bigint()
    const sent = request({ host: '127.0.0.1', port: way.port, method: 'POST', path, headers }, (response) => {
      const firstMs = Number(process.hrtime.bigint() - began) / 1e6
      void hear(response).then((eventMs) => resolve({ status: response.statusCode!, firstMs, eventMs }), reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Milliseconds from each event's sending to its being heard. */
async function hear(response: IncomingMessage): Promise<number[]> {
  const eventMs: number[] = []
  for await (const chunk of response.setEncoding('latin1') as AsyncIterable<string>) {
    const now = process.hrtime.bigint()
    for (const [, at] of chunk.matchAll(/ t(\d+) /g)) eventMs.push(Number(now - BigInt(at!)) / 1e6)
  }
  return eventMs
}

function rowsOf(seen: Map<string, Seen>, ways: readonly Way[], streams: readonly number[]): Row[] {
  const peers = ways.map(({ name }) => name).filter((name) => !['straight', 'ours', ...bare].includes(name))
  const added = (name: string, of: 'events' | 'firsts', at: number): number =>
    median(seen.get(`${name} ${at}`)![of]) - median(seen.get(`straight ${at}`)![of])
  const [one] = streams
  const most = streams.at(-1)!
  const peer = peers[0]
  const against = (value: (name: string) => number): number | null => (peer === undefined ? null : value(peer))
  const row = (what: string, unit: Row['unit'], target: number | null, value: (name: string) => number): Row => ({
    what: `${what}${peer === undefined ? '' : `; baseline: ${peer}`}`,
    unit,
    measured: value('ours'),
    baseline: against(value),
    target,
  })
  const cpu = (name: string): number => {
    const { cpuMs, count } = seen.get(`${name} ${most}`)!
    return (cpuMs * 1000) / count
  }
  return [
    row(`an event, 1 stream, added to straight`, 'ms', mostEventMs, (name) => added(name, 'events', one!)),
    row(`the first byte, 1 stream, added`, 'ms', mostFirstMs, (name) => added(name, 'firsts', one!)),
    ...streams
      .slice(1)
      .map((at) => row(`an event, ${at} streams, added`, 'ms', null, (name) => added(name, 'events', at))),
    row(`CPU for an event, ${most} streams`, 'µs', null, cpu),
    ...streams.map((at) =>
      row(`memory, ${at} streams`, 'MB', at === most ? mostMb : null, (name) => seen.get(`${name} ${at}`)!.rssMb),
    ),
    ...peers.slice(1).flatMap((name) => rowsBeside(name, name)),
    ...bare.flatMap((name) => rowsBeside(name, bareWords[name])),
  ]

  function rowsBeside(name: string, words: string): Row[] {
    const beside = (what: string, unit: Row['unit'], measured: number): Row => ({
      what: `${words}: ${what}`,
      unit,
      measured,
      baseline: null,
      target: null,
    })
    return [
      beside('an event, added', 'ms', added(name, 'events', one!)),
      beside('the first byte, added', 'ms', added(name, 'firsts', one!)),
      beside('CPU for an event', 'µs', cpu(name)),
      beside(`memory, ${most} streams`, 'MB', seen.get(`${name} ${most}`)!.rssMb),
    ]
  }
}
