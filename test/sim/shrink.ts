/** Makes the story of a failure short: steps are left out, many at once and then one by one, as long as it still fails in the same way. */
import type { Ending } from './play.ts'
import type { Story } from './story.ts'

/** What failed, without the names of tasks and attempts and the numbers in it. */
const signatureOf = (broken: string): string =>
  broken.split('\n')[0]!.replaceAll(/[a-z]+_[0-9a-z]{8}|[0-9a-f]{40}|\d+/g, '#')

/** Shortens as long as `mayGoOn`. Answers the shortest story found, which fails as `ending` does. */
export async function shrink(
  story: Story,
  ending: Ending,
  tell: (story: Story) => Promise<Ending>,
  mayGoOn: () => boolean,
): Promise<Story> {
  const signature = signatureOf(ending.broken!)
  const fails = async (shorter: Story) => {
    const { broken } = await tell(shorter)
    return broken !== null && signatureOf(broken) === signature
  }
  let shortest = story
  for (let size = Math.ceil(story.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
    for (let from = 0; from < shortest.steps.length && mayGoOn();) {
      const steps = shortest.steps.toSpliced(from, size)
      const shorter = { ...shortest, steps }
      if (await fails(shorter)) shortest = shorter
      else from += size
    }
  return shortest
}
