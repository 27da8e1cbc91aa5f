/** The word a person most likely meant. Pure; it never guesses for them, it only makes a refusal helpful. */
import { refuse, type Refusal } from './refusal.ts'

/** The nearest of `words` by edit distance (a swap counts once; case, `-` and `_` do not count), or null where none is near. The first wins a tie. */
export function nearest(word: string, words: readonly string[]): string | null {
  const asked = plain(word)
  let best: { word: string; distance: number } | null = null
  for (const each of words) {
    const candidate = plain(each)
    const shortened = asked.length >= 3 && candidate.startsWith(asked)
    const distance = shortened ? 1 : editDistance(asked, candidate)
    const reach = Math.max(1, Math.floor(Math.max(asked.length, candidate.length) / 3))
    if (distance <= reach && (best === null || distance < best.distance)) best = { word: each, distance }
  }
  return best?.word ?? null
}

/** `word` if it is one of `words`; else a refusal `unknown-WHAT` that names the nearest and all of them. */
export function oneOf<Word extends string>(what: string, word: string, words: readonly Word[]): Word | Refusal {
  const found = words.find((each) => each === word)
  if (found !== undefined) return found
  return refuse(`unknown-${what}`, `${what} ${JSON.stringify(word)} is not known`, suggestion(word, words))
}

/** What to type instead: `did you mean "normal"? One of: critical, normal, background`. */
export function suggestion(word: string, words: readonly string[]): string {
  const near = nearest(word, words)
  const all = `one of: ${words.join(', ')}`
  return near === null ? all : `did you mean ${JSON.stringify(near)}? ${all}`
}

const plain = (word: string): string => word.toLowerCase().replaceAll(/[-_]/g, '')

/** Optimal string alignment: insertions, deletions, replacements and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const line = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(last[column]! + 1, line[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1))
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, before[column - 2]! + 1)
      line.push(cost)
    }
    before = last
    last = line
  }
  return last[b.length]!
}
