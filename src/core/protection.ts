/** Protected paths: changing one of them asks for a person, whatever the policy says. Globs: `*` within a folder, `**` across, the rest literal. */

/** The files a protected glob names. */
export function protectedAmong(files: readonly string[], globs: readonly string[]): string[] {
  const patterns = globs.map(toPattern)
  return files.filter((file) => patterns.some((pattern) => pattern.test(file)))
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
