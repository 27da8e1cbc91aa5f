/** Makes the story of a failure short: its beginning is left out, then steps, many at once and then one by one, as long as it still fails in the same way. */
import type { Ending } from './play.ts'
import type { Story } from './story.ts'

/** What failed, without the names of tasks and attempts and the numbers in it. */
const signatureOf = (broken: string): string =>
  broken.split('\n')[0]!.replaceAll(/[a-z]+_[0-9a-z]{8}|[0-9a-f]{40}|\d+/g, '#')

/** How much later the same may go wrong in a shorter story. */
const laterMs = 6 * 3_600_000

/**
 * Shortens as long as `mayGoOn`. `tell` tells a story up to a moment. Answers the shortest story found, which fails as `ending` does.
 */
export async function shrink(
  story: Story,
  ending: Ending,
  tell: (story: Story, untilMs: number) => Promise<Ending>,
  mayGoOn: () => boolean,
): Promise<Story> {
  const signature = signatureOf(ending.broken!)
  const fails = async (shorter: Story) => {
    const { broken } = await tell(shorter, ending.atMs + laterMs)
    return broken !== null && signatureOf(broken) === signature
  }
  let shortest = { ...story, steps: story.steps.filter(({ at }) => at <= ending.atMs) }
  // what mattered was seldom long before
  for (let last = 4; last < shortest.steps.length && mayGoOn(); last *= 2) {
    const shorter = { ...shortest, steps: shortest.steps.slice(-last) }
    if (await fails(shorter)) shortest = shorter
  }
  for (let size = Math.ceil(shortest.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
    for (let from = 0; from < shortest.steps.length && mayGoOn();) {
      const steps = shortest.steps.toSpliced(from, size)
      const shorter = { ...shortest, steps }
      if (await fails(shorter)) shortest = shorter
      else from += size
    }
  return shortest
}
