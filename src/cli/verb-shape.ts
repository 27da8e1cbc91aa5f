/** What a verb is, before there are any: the shape of verb.ts's table, and the headings of the help. */
import type { Act } from './context.ts'

export type Choice = {
  /** As commander writes it: `-f, --file <path>`. */
  flags: string
  about: string
  /** May be said several times. Never greedy: `--tag web "Title"` must not swallow the title. */
  repeats?: true
  /** The only words allowed. */
  words?: readonly string[]
}

export const groups = ['Start', 'Ask', 'Look', 'Decide', 'Check'] as const
type Group = (typeof groups)[number]

export type Verb = {
  name: string
  /** Under which heading of the help it stands. */
  group: Group
  /** As commander writes them: `<task>`, `[path]`. */
  args: readonly {
    name: string
    about: string
    words?: readonly string[]
    /** Words that completion offers where others are allowed, too. */
    among?: readonly string[]
  }[]
  about: string
  options: readonly Choice[]
  examples: readonly string[]
  load: () => Promise<Act>
}
