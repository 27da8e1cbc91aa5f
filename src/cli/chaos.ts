/** chaos: the product on a scratch repository while it is killed, frozen, starved and cut off. Exit code 1 when anything was lost, doubled or left. */
import { refuse, type Refusal, isRefusal } from '../core/refusal.ts'
import type { Act, Said } from './context.ts'

const usualKills = 20
const mostSeed = 2 ** 31

export const chaos: Act = async ({ world, env, json, out, note }, said) => {
  const kills = readCount(said, 'kills', usualKills)
  if (isRefusal(kills)) return kills
  const seed = readCount(said, 'seed', Math.floor(world.random() * mostSeed))
  if (isRefusal(seed)) return seed
  const program = [...process.execArgv, process.argv[1]!]
  const { playChaos } = await import('../daemon/chaos-play.ts')
  return playChaos({
    world,
    env,
    program,
    again: [...program, 'chaos', '--kills', `${kills}`, '--seed', `${seed}`, ...flags(said, json)],
    seed,
    kills,
    forMs: Infinity,
    floor: kills,
    longMs: null,
    keep: said.flag('keep') === true,
    say: json ? 'json' : 'text',
    out,
    note: (text) => note(text.endsWith('\n') ? text : `${text}\n`),
  })
}

const flags = (said: Said, json: boolean): string[] => [
  ...(said.flag('keep') === true ? ['--keep'] : []),
  ...(json ? ['--json'] : []),
]

function readCount(said: Said, name: string, usual: number): number | Refusal {
  const text = said.text(name)
  if (text === undefined) return usual
  return /^\d{1,10}$/.test(text)
    ? Number(text)
    : refuse('not-a-count', `--${name} takes a whole number, not "${text}"`, `tri-agent chaos --${name} 20`)
}
