/**
 * The laws themselves are put to the test: what was gathered is spoiled in one place after the other, and each time the law that looks there must
 * notice. A law that cannot fail proves nothing.
 */
import { lawsOf } from './proof.ts'
import type { Played } from './play.ts'

type Spoiling = { what: string; law: RegExp; spoil: (played: Played) => Partial<Played> }

const spoilings: readonly Spoiling[] = [
  { what: 'a second interface', law: /loopback/, spoil: () => ({ interfaces: ['eth0', 'lo'] }) },
  { what: 'a lower rung', law: /contained/, spoil: () => ({ rung: 'group' }) },
  {
    what: 'other bytes landed',
    law: /landed with/,
    spoil: ({ landed }) => ({ landed: withEach(landed, (each) => ({ ...each, texts: {} })) }),
  },
  {
    what: 'one file more landed',
    law: /landed with/,
    spoil: ({ landed }) => ({ landed: withEach(landed, (each) => ({ ...each, paths: [...each.paths, 'more'] })) }),
  },
  { what: 'nothing landed', law: /landed with/, spoil: () => ({ landed: new Map() }) },
  {
    what: 'another author in the trailers',
    law: /trailers and wire/,
    spoil: ({ landed }) => ({
      landed: withEach(landed, (each) => ({
        ...each,
        message: each.message.replace(/(Implemented-By: )\w+/, '$1nobody'),
      })),
    }),
  },
  {
    what: 'a reviewer less in the trailers',
    law: /trailers and wire/,
    spoil: ({ landed }) => ({
      landed: withEach(landed, (each) => ({ ...each, message: each.message.replace(/Reviewed-By: .*\n/, '') })),
    }),
  },
  {
    what: 'all models in one',
    law: /trailers and wire/,
    spoil: ({ requests }) => ({ requests: requests.map((each) => ({ ...each, model: requests[0]!.model })) }),
  },
  { what: 'clients that say nothing', law: /its own tools/, spoil: () => ({ transcripts: new Map() }) },
  {
    what: 'a key of somebody else',
    law: /through the gateway/,
    spoil: ({ requests }) => ({ requests: withFirst(requests, { key: 'another' }) }),
  },
  {
    what: 'another version',
    law: /pinned version/,
    spoil: ({ requests }) => ({ requests: withFirst(requests, { userAgent: 'claude-cli/0.0.1' }) }),
  },
  {
    what: 'a request that was let go',
    law: /metered/,
    spoil: ({ charges }) => ({ charges: withFirst(charges, { requests: charges[0]!.requests - 1 }) }),
  },
  {
    what: 'a token too few',
    law: /metered/,
    spoil: ({ charges }) => ({ charges: withFirst(charges, { output: charges[0]!.output - 1 }) }),
  },
  { what: 'no ledger', law: /metered/, spoil: () => ({ charges: [] }) },
  {
    what: 'an attempt that crashed',
    law: /no attempt failed/,
    spoil: ({ events }) => ({
      events: events.map((each) =>
        each.event.type === 'attempt.ended' ? { ...each, event: { ...each.event, outcome: 'crashed' } } : each,
      ),
    }),
  },
  {
    what: 'a history that is not in order',
    law: /verify-history/,
    spoil: () => ({ verified: { code: 1, text: '{"ok":false,"verified":[]}' } }),
  },
  { what: 'a client that went elsewhere', law: /own settings lead/, spoil: () => ({ elsewhere: 1 }) },
  {
    what: 'clients that go on asking',
    law: /stopped at its budget/,
    spoil: ({ reached }) => ({ reached: [...reached, ...reached].map((each) => ({ ...each, cut: false })) }),
  },
  { what: 'a budget that nobody reached', law: /stopped at its budget/, spoil: () => ({ reached: [] }) },
  {
    what: 'another session',
    law: /stopped at its budget/,
    spoil: ({ events }) => ({
      events: events.map((each) =>
        each.event.type === 'task.parked' && each.event.archive
          ? { ...each, event: { ...each.event, archive: { ...each.event.archive, session: 'another' } } }
          : each,
      ),
    }),
  },
  { what: 'a process left', law: /is left/, spoil: () => ({ left: { folders: [], pids: [1] } }) },
  { what: 'a folder left', law: /is left/, spoil: () => ({ left: { folders: ['att_1'], pids: [] } }) },
]

/** What no law noticed; none is the proof. */
export const unnoticed = (played: Played): string[] =>
  spoilings
    .filter(
      ({ law, spoil }) =>
        !lawsOf({ ...played, ...spoil(played) }, true).some((each) => law.test(each.law) && each.wrong.length > 0),
    )
    .map(({ what }) => what)

const withFirst = <T>([first, ...rest]: readonly T[], change: Partial<T>): T[] => [{ ...first!, ...change }, ...rest]

const withEach = <T>(map: ReadonlyMap<string, T>, change: (each: T) => T): Map<string, T> =>
  new Map([...map].map(([name, each]) => [name, change(each)]))
