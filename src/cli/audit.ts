/** audit: what a program inside the sandbox can do to this machine, tried out, with a control for each attack. Exit code 1 when anything was not held. */
import { isRefusal } from '../core/refusal.ts'
import { losses } from '../core/rung.ts'
import { plural } from '../core/quantity.ts'
import { answer, type Act } from './context.ts'
import { exitCode } from './exit-code.ts'

const titles: Readonly<Record<string, string>> = {
  secret: 'secrets of others',
  write: 'writing outside',
  network: 'the network',
  process: 'other processes',
  privilege: 'more privileges',
  call: 'system calls',
  history: 'hidden history',
  place: 'credentials really here',
}

type Verdict = { name: string; group: string; state: string; why?: string }

export const audit: Act = async (context) => {
  const { world, env, paths } = context
  const { audit: carryOut } = await import('../daemon/audit.ts')
  const audited = await carryOut({ world, env, paths, note: (text) => context.note(`${text}\n`) })
  if (isRefusal(audited)) return audited
  const { rung, verdicts, notes } = audited
  const tried = verdicts.filter(({ state }) => state !== 'absent')
  const held = tried.filter(({ state }) => state === 'held').length
  const text = [...Map.groupBy(verdicts, ({ group }) => group)].map(([group, list]) =>
    lineOf(titles[group] ?? group, list),
  )
  const lost = tried.filter(({ state }) => state !== 'held')
  const rest = [
    ...lost.map(
      ({ name, state, why }) => `  ${state === 'idle' ? 'NOT PROVEN' : 'BREACHED'}: ${name}${why ? ` (${why})` : ''}`,
    ),
    `Rung ${rung}: ${held} of ${tried.length} attacks held, each with a control that works without the sandbox.`,
    ...(losses[rung] !== null && lost.length > 0
      ? [`On the rung ${rung} ${losses[rung]}, and your settings accept it: tri-agent doctor says what is missing.`]
      : []),
    ...notes.map((note) => `OPENED BY YOUR SETTINGS: ${note}.`),
  ]
  answer(
    context,
    { ok: lost.length === 0, rung, held, total: tried.length, verdicts, notes },
    [...text, ...rest].join('\n'),
  )
  return lost.length === 0 ? exitCode.done : exitCode.refused
}

function lineOf(title: string, list: readonly Verdict[]): string {
  const tried = list.filter(({ state }) => state !== 'absent')
  const held = tried.filter(({ state }) => state === 'held').length
  const absent = list.length - tried.length
  const left = absent === 0 ? '' : `, ${plural(absent, 'attack')} cannot be tried here`
  return `${title.padEnd(24)} ${String(held).padStart(3)} of ${String(tried.length).padStart(3)} held${left}`
}
