/**
 * The diff a reviewer reads. It cannot be made to hide a file: attributes, textconv, external programs and rename guessing are off, and a
 * NUL byte in a source file does not make it "binary" (`-a`). Only content that is mostly not text is left out, and then named with its size.
 * Characters that cannot be seen, or that change the order in which others are, are spelled out: `<U+202E>`.
 */
import { listEntries, showPath } from './change.ts'
import type { Command } from './command.ts'
import type { RepoStores, Sha } from './git.ts'
import { quarantinePlace } from './store.ts'

const args = [
  'diff-tree',
  '-r',
  '-p',
  '-a',
  '--full-index',
  '--no-renames',
  '--no-ext-diff',
  '--no-textconv',
  '--no-color',
]
const plain = ['--submodule=short', '--ignore-submodules=none', '--src-prefix=a/', '--dst-prefix=b/', '--unified=3']

/** The paths that differ. */
export const listChanged = async (command: Command, stores: RepoStores, from: Sha, to: Sha): Promise<string[]> =>
  (await listEntries(command, quarantinePlace(stores), from, to)).map(({ path }) => showPath(path))

/** The whole diff between two trees or commits, as text. */
export async function diffTrees(command: Command, stores: RepoStores, from: Sha, to: Sha): Promise<string> {
  const { stdout } = await command.answer({ ...quarantinePlace(stores), args: [...args, ...plain, from, to] })
  return splitSections(stdout).map(showSection).join('')
}

const sectionStart = Buffer.from('\ndiff --git ')

/** Content lines begin with ` `, `+`, `-` or `\`, so a line that begins with `diff --git` is always git's own. */
function splitSections(diff: Buffer): Buffer[] {
  const sections: Buffer[] = []
  let start = 0
  while (start < diff.length) {
    const next = diff.indexOf(sectionStart, start)
    const end = next < 0 ? diff.length : next + 1
    sections.push(diff.subarray(start, end))
    start = end
  }
  return sections
}

function showSection(section: Buffer): string {
  const hunks = section.indexOf('\n@@ ')
  if (hunks < 0 || isText(section.subarray(hunks))) return spellOut(section.toString('utf8'))
  const head = spellOut(section.subarray(0, hunks + 1).toString('utf8'))
  return `${head}Content not shown, ${section.length - hunks - 1} bytes that are mostly not text: look at the file itself\n`
}

/** Everything but tabs and ends of lines that leaves no mark of its own. */
const unseen = /(?![\t\n]|\r\n)[\p{Cc}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}]/gu

const spellOut = (text: string): string =>
  text.replaceAll(unseen, (char) => `<U+${char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}>`)

const mostForeign = 0.05

/** Text is what has at most one strange byte in twenty: a few NULs in a source file do not hide it. */
function isText(bytes: Buffer): boolean {
  const nuls = bytes.reduce((sum, byte) => sum + Number(byte === 0), 0)
  const broken = bytes.toString('utf8').match(/\ufffd/g)?.length ?? 0
  return nuls + broken <= bytes.length * mostForeign
}
