/** Handing work off: what is in an agent's tree is committed and bundled by git inside a second container, without key and network. */
import { lstat } from 'node:fs/promises'
import type { Asked } from './ask.ts'
import { contain } from './contain.ts'
import type { StagePorts, Work } from './stage.ts'

/** Committing and bundling is git alone, which may have to look at 100,000 files on a busy machine; a hostile configuration must not hang us. */
const handOffMs = 300_000

/** Nothing at all was left: what the hand-off does where there is nothing beyond the base. Anything else is looked at by the intake. */
export const isMissing = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  )

/**
 * What ends a hand-off: what ends the attempt, but not that its daemon was told to end. The work is finished and paid for, and bundling it takes a moment: that
 * is waited for, unless nobody waits any more.
 */
function endOfHandOff(work: Work): AbortSignal {
  const end = new AbortController()
  const stop = () => {
    if (work.hurry.aborted || !work.isDrained()) end.abort(work.signal.reason)
  }
  for (const signal of [work.signal, work.hurry]) {
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
  }
  return end.signal
}

/** Why it failed, and whether that is the fault of what was left, which whoever left it can mend. */
export type Unfit = { why: string; theirs: boolean }

/** What git complains about where our disk is full: nothing that an agent could mend. */
const ourOwnTrouble = /No space left|Disk quota/i

/** Commits what is in the tree and bundles it, inside a second container without key and network. Null, or why it failed. */
export async function handOff(
  ports: StagePorts,
  work: Work,
  { area, mounts }: Pick<Asked, 'area' | 'mounts'>,
  base: string,
): Promise<Unfit | null> {
  const signal = endOfHandOff(work)
  const view = ports.sandbox.view(area, null)
  const script = [
    'set -e',
    'rm -f .git/index.lock', // of an agent that was ended in the middle
    'git add --all',
    'git diff --cached --quiet HEAD || git -c commit.gpgsign=false commit --quiet --no-verify --message "Task"',
    // A bundle may not be empty: nothing beyond the base is `no-change`, which the missing file says.
    'test "$(git rev-parse HEAD)" = "$BASE" || git bundle create --quiet "$OUT/task.bundle" HEAD "^$BASE"',
  ].join('\n')
  const env = {
    HOME: view.home,
    TMPDIR: view.tmp,
    OUT: view.out,
    BASE: base,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
  }
  const ran = await contain(
    ports,
    { ...work, signal },
    {
      area,
      argv: ['/bin/sh', '-c', script],
      env,
      stdin: null,
      mounts,
      gateway: null,
      toolchain: work.toolchain,
    },
    handOffMs,
  )
  if (signal.aborted) return { why: 'stopped while handing off', theirs: false }
  if (ran.code === 0) return null
  const why = `the work could not be bundled (exit ${ran.code ?? ran.signal}): ${ran.tail.trim()}`
  return { why, theirs: ran.code !== null && !ourOwnTrouble.test(ran.tail) }
}
