/**
 * One performance, in a process of its own, which may be in a network namespace: plays, prints who took part and every law, exits with 0 when all hold.
 * Arguments: the folder that holds the clients, and `isolated` where nothing but loopback is there.
 */
import { environment } from '../../src/host/environment.ts'
import { realWorld } from '../../src/host/world.ts'
import { castOf } from './cast.ts'
import { play, type Played } from './play.ts'
import { attemptsOf, lawsOf } from './proof.ts'
import { unnoticed } from './spoil.ts'

const [folder = '', where = ''] = process.argv.slice(2)
const say = (text: string): void => void process.stdout.write(text)
const isolated = where === 'isolated'
const cast = castOf(folder)
const missing = [
  ...(isolated ? [] : ['a network namespace of our own: this needs root, and unshare and ip']),
  ...(cast.some(({ name }) => name === 'opencode') ? [] : ['opencode: its lockfile has no build for this machine']),
]
const interrupted = new AbortController()
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => interrupted.abort())
process.exitCode = await perform().catch((error: unknown) => {
  if (!interrupted.signal.aborted) throw error
  say('\ninterrupted\n')
  return 130
})

async function perform(): Promise<number> {
  const path = environment()['PATH'] ?? '/usr/bin:/bin'
  const played = await play(realWorld(), cast, folder, path, say, interrupted.signal)
  say(`\n${tookPart(played)}\n`)
  for (const what of missing) say(`SKIPPED ${what}\n`)
  const laws = lawsOf(played, isolated)
  laws.push({ law: 'every law notices when what it looks at is spoiled', wrong: unnoticed(played) })
  for (const { law, wrong } of laws) say(wrong.length === 0 ? `ok      ${law}\n` : `FAILED  ${law}\n${indent(wrong)}\n`)
  const failed = laws.filter(({ wrong }) => wrong.length > 0).length
  say(`\n${laws.length - failed} passed, ${failed} failed, ${missing.length} skipped\n`)
  return failed === 0 ? 0 : 1
}

function indent(lines: readonly string[]): string {
  return lines.map((line) => `        ${line.replaceAll('\n', '\n        ')}`).join('\n')
}

function tookPart(all: Played): string {
  const clients = all.cast.map((client) => {
    const own = attemptsOf(all, client)
    const done = (step: string) => own.filter((each) => each.step === step).length
    const { requests, tokens } = sumOf(all.requests.filter(({ model }) => model === client.model))
    return [
      client.name,
      client.version,
      client.model,
      `${done('implement')}`,
      `${done('review')}`,
      `${requests}`,
      `${tokens}`,
    ]
  })
  const tasks = all.tasks.map((task, index) => {
    const own = all.requests.filter(({ rule }) => rule !== null && all.places[rule]!.wish === index)
    const { requests, tokens } = sumOf(own)
    const seconds = task.landed === null ? 'not landed' : ((task.landed.at - task.addedAt) / 1000).toFixed(1)
    const reviewers = task.round?.votes.map(({ family }) => family).join(', ') ?? ''
    return [task.title, task.candidate?.family ?? '', reviewers, `${requests}`, `${tokens}`, seconds]
  })
  return [
    table(['client', 'version', 'model', 'implemented', 'reviewed', 'requests', 'tokens'], clients),
    table(['task', 'by', 'reviewed by', 'requests', 'tokens', 'seconds'], tasks),
    `${all.requests.length} requests in ${all.seconds.toFixed(1)} s.\n`,
  ].join('\n')
}

function sumOf(requests: Played['requests']): { requests: number; tokens: number } {
  const tokens = requests.map((each) => {
    const { input, cachedInput, cacheWrite, output } = each.tokens ?? {
      input: 0,
      cachedInput: 0,
      cacheWrite: 0,
      output: 0,
    }
    return input + cachedInput + cacheWrite + output
  })
  return { requests: requests.length, tokens: tokens.reduce((total, each) => total + each, 0) }
}

function table(head: readonly string[], rows: readonly string[][]): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd()
  return `${[head, ...rows].map(line).join('\n')}\n`
}
