/** The difference of two short texts, line by line: what init would change. */

/** Lines led by `-`, `+` or a blank, with at most `around` unchanged ones beside a change and `…` where more are left out. Empty when nothing differs. */
export function lineDiff(before: string, after: string, around = 2): string[] {
  const a = before.split('\n')
  const b = after.split('\n')
  const marked = walk(a, b, longest(a, b))
  const near = marked.map((_, at) =>
    marked.slice(Math.max(0, at - around), at + around + 1).some((line) => line[0] !== ' '),
  )
  return marked.flatMap((line, at) => (near[at] ? [line] : near[at - 1] ? ['…'] : []))
}

/** Length of the longest common subsequence of every two tails. */
function longest(a: readonly string[], b: readonly string[]): number[][] {
  const table = Array.from({ length: a.length + 1 }, () => Array.from({ length: b.length + 1 }, () => 0))
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      table[i]![j] = a[i] === b[j] ? table[i + 1]![j + 1]! + 1 : Math.max(table[i + 1]![j]!, table[i]![j + 1]!)
  return table
}

function walk(a: readonly string[], b: readonly string[], table: readonly number[][]): string[] {
  const lines: string[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length)
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(` ${a[i]}`)
      i += 1
      j += 1
    } else if (j === b.length || (i < a.length && table[i + 1]![j]! >= table[i]![j + 1]!)) lines.push(`-${a[i++]}`)
    else lines.push(`+${b[j++]}`)
  return lines
}
