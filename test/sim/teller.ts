/** Telling stories in a process of their own, so that several go on side by side and one that hangs or ends its process is noticed. */
import { fork } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bug } from './bug.ts'
import { countEntered, type Entered } from './entered.ts'
import type { Ending } from './play.ts'
import { drawStory } from './story.ts'

export type Teller = {
  tell(seed: number, days: number, bug: Bug | null): Promise<Ending>
  /** What it went through so far, and it ends. */
  end(): Promise<Entered[]>
}

type Asked = { seed: number; days: number; bug: Bug | null } | 'entered'
type Answer = { ending: Ending } | { entered: Entered[] }

/** A folder for one process's story: in memory where there is such a thing. */
export const storyFolder = (): string =>
  join(fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `tri-agent-torture-${process.pid}`)

/** Starts `main` as a teller. */
export function startTeller(main: string): Teller {
  const child = fork(main, ['--child'])
  const ask = (asked: Asked): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const ended = (code: number | null) =>
        reject(new Error(`telling ${JSON.stringify(asked)} ended its process: ${code}`))
      child.once('exit', ended)
      child.once('message', (answer: Answer) => {
        child.off('exit', ended)
        resolve(answer)
      })
      child.send(asked)
    })
  return {
    async tell(seed, days, bug) {
      const answer = await ask({ seed, days, bug })
      if (!('ending' in answer)) throw new Error('a teller answered something else')
      return answer.ending
    },
    async end() {
      const answer = await ask('entered')
      child.disconnect()
      return 'entered' in answer ? answer.entered : []
    },
  }
}

/** The other side: tells what it is asked for until nobody asks any more. */
export async function serveTeller(): Promise<void> {
  // a signal to the whole group is for whoever asks; this one ends with it
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})
  const entered = await countEntered()
  const { play } = await import('./play.ts')
  const answer = async (asked: Asked): Promise<Answer> =>
    asked === 'entered'
      ? { entered: await entered() }
      : { ending: await play(drawStory(asked.seed, asked.days), storyFolder(), { bug: asked.bug }) }
  process.on('message', (asked: Asked) => void answer(asked).then((said) => process.send!(said)))
  await new Promise((resolve) => process.once('disconnect', resolve))
  fs.rmSync(storyFolder(), { recursive: true, force: true })
  process.exit(0) // also in the middle of a story: nobody is there to hear its end
}
