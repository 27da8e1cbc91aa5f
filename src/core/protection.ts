/** Protected paths: changing one of them asks for a person, whatever the policy says. Globs: `*` within a folder, `**` across, the rest literal. */

/** The files a protected glob names. */
export function protectedAmong(files: readonly string[], globs: readonly string[]): string[] {
  const patterns = globs.map(toPattern)
  return files.filter((file) => patterns.some((pattern) => pattern.test(file) || pattern.test(textOfPath(file))))
}

/** What git quotes because it is not UTF-8 (`"caf\351"`), as text; anything else as it is. */
export function textOfPath(file: string): string {
  const [, quoted] = /^"(.*)"$/s.exec(file) ?? []
  if (quoted === undefined) return file
  const bytes = quoted.replaceAll(/\\([0-7]{3}|["\\])/g, (_, each: string) =>
    each.length === 1 ? each : String.fromCharCode(Number.parseInt(each, 8)),
  )
  return new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.codePointAt(0)!))
}

function toPattern(glob: string): RegExp {
  const parts = glob.split(/(\*\*\/|\*\*|\*)/).map((part) => {
    if (part === '**/') return '(?:.*/)?'
    if (part === '**') return '.*'
    if (part === '*') return '[^/]*'
    return part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`)
  })
  return new RegExp(`^${parts.join('')}$`, 'is') // `s`: a line break in a folder's name hides nothing
}
