/** A network that is gone for minutes and for a day, on the virtual clock of the simulation: shipped daemon, modelled wire. All that was asked for is done after. */
import { play, type Ending } from '../sim/play.ts'
import type { Step, Story } from '../sim/story.ts'
import { storyFolder } from '../sim/teller.ts'

const minute = 60_000
export const blackouts = [
  { name: '5 min', ms: 5 * minute },
  { name: '24 h', ms: 24 * 60 * minute },
] as const

const families = ['anthropic', 'openai', 'google']
const tasks = 6
/** It begins while the first of them are under way. */
const beginsAt = 40_000

/** Tasks before and during it, and nothing else that goes wrong. */
function storyOf(seed: number, ms: number): Story {
  const add = (n: number): Step => ({
    n,
    at: n < tasks / 2 ? n * 1000 : beginsAt + ((n - 2) * ms) / (tasks - 3), // the last when it is over
    what: 'add',
    title: `T${n} change`,
    count: 1,
    kind: 'feature',
    size: 'small',
    lane: 'normal',
    repo: 0,
    after: 0,
    through: 'file',
    budgetNanoUsd: null,
  })
  const gone: Step = { n: tasks, at: beginsAt, what: 'blackout', ms }
  const steps = [...Array.from({ length: tasks }, (_, n) => add(n)), gone].toSorted((a, b) => a.at - b.at)
  const often = minute / 2
  return {
    seed,
    days: 1,
    families,
    unattended: true,
    repositories: 1,
    dayNanoUsd: 75e9,
    pace: { minuteNanoUsd: 1e9, burstNanoUsd: 3e9 },
    parts: { repositories: {}, families: {} },
    caps: { repositories: {}, families: {} },
    beatMs: often,
    floorMs: often,
    steps,
  }
}

/** Null when everything was done after it, else what was not. */
export async function blackOutVirtually(seed: number, ms: number): Promise<{ ending: Ending; wrong: string | null }> {
  const ending = await play(storyOf(seed, ms), storyFolder())
  const wrong =
    ending.broken ??
    (ending.landed < tasks
      ? `${ending.landed} of ${tasks} landed`
      : ending.days < ms / (24 * 60 * minute)
        ? 'it ended before the network was back'
        : null)
  return { ending, wrong }
}
