/**
 * The program behind a shim. Version managers put small scripts on PATH that look up, at each start, which version is meant; in a sandbox they find
 * nothing of what they ask. So the choice they would make is made here, from the files they would read. Starts nothing.
 *
 *     pyenv, rbenv   ROOT/shims/python3 ─▶ ROOT/versions/3.12.4/bin/python3        .python-version, .ruby-version, ROOT/version
 *     asdf, mise     ROOT/shims/node    ─▶ ROOT/installs/nodejs/22.1.0/bin/node    .tool-versions, mise.toml
 *     rustup         ~/.cargo/bin/cargo ─▶ ~/.rustup/toolchains/NAME/bin/cargo     rust-toolchain(.toml), settings.toml
 */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Env } from './path.ts'

/** A small file of the repository, or null: it may pin versions. */
export type ReadPin = (path: string) => string | null

/** The files that pin, in repositories. */
export const pinFiles: readonly string[] = [
  '.python-version',
  '.ruby-version',
  '.tool-versions',
  'mise.toml',
  '.mise.toml',
  'rust-toolchain',
  'rust-toolchain.toml',
]

/** The real file of `found`, a program on PATH, its links resolved. `isShim`: something stood in for it; null where no version of it is chosen. */
export function behindShim(found: string, env: Env, pin: ReadPin): { real: string; isShim: boolean } | null {
  const name = basename(found)
  const real = realpathSync(found)
  const isRustup = basename(real) === 'rustup' && name !== 'rustup'
  if (!isRustup && basename(dirname(found)) !== 'shims') return { real, isShim: false }
  const chosen = (isRustup ? rustup(name, env, pin) : shims(found, env, pin)).find(isFile)
  return chosen === undefined ? null : { real: realpathSync(chosen), isShim: true }
}

function rustup(name: string, env: Env, pin: ReadPin): string[] {
  const home = env['RUSTUP_HOME'] ?? join(env['HOME'] ?? '/nonexistent', '.rustup')
  const pinned = pin('rust-toolchain.toml') ?? pin('rust-toolchain') ?? ''
  const wanted = [
    env['RUSTUP_TOOLCHAIN'],
    /^channel\s*=\s*"([^"/]+)"/m.exec(pinned)?.[1] ?? /^[\w.-]+$/.exec(pinned.trim())?.[0],
    /^default_toolchain\s*=\s*"([^"/]+)"/m.exec(readText(join(home, 'settings.toml')))?.[1],
  ].filter((each) => each !== undefined && each !== '')
  // a pin says `1.80`, the folder is called `1.80-x86_64-unknown-linux-gnu`
  const installed = list(join(home, 'toolchains'))
  return wanted
    .flatMap((each) => installed.filter((folder) => folder === each || folder.startsWith(`${each}-`)))
    .map((folder) => join(home, 'toolchains', folder, 'bin', name))
}

function shims(found: string, env: Env, pin: ReadPin): string[] {
  const root = dirname(dirname(found))
  const name = basename(found)
  const tools = list(join(root, 'installs'))
  if (tools.length === 0)
    return singleVersions(root, env, pin).map((version) => join(root, 'versions', version, 'bin', name))
  return toolVersions(env, pin).flatMap(([tool, version]) =>
    tools
      .filter((each) => each === tool || aliases[tool] === each || aliases[each] === tool)
      .flatMap((each) => matching(join(root, 'installs', each), version))
      .flatMap((folder) => [join(folder, 'bin', name), join(folder, name)]),
  )
}

/** asdf and mise call one thing by two names. */
const aliases: Readonly<Record<string, string>> = { node: 'nodejs', go: 'golang' }

/** `22` is the newest installed that begins so. */
function matching(folder: string, version: string): string[] {
  const installed = list(folder)
  const fits = installed.includes(version) ? [version] : installed.filter((each) => each.startsWith(`${version}.`))
  return fits.toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true })).map((each) => join(folder, each))
}

/** pyenv's and rbenv's order: the variable, the repository's file, the one for the whole account. */
function singleVersions(root: string, env: Env, pin: ReadPin): string[] {
  const [variable, file] = basename(root).includes('rbenv')
    ? ['RBENV_VERSION', '.ruby-version']
    : ['PYENV_VERSION', '.python-version']
  const texts = [env[variable!]?.replaceAll(':', '\n'), pin(file!), readText(join(root, 'version'))]
  const chosen = texts.find((text) => text !== undefined && text !== null && text.trim() !== '') ?? ''
  const versions = chosen.split(/\s+/).filter((each) => /^[\w.-]+$/.test(each) && each !== 'system')
  return versions.flatMap((version) => matching(join(root, 'versions'), version).map((folder) => basename(folder)))
}

/** Tool and version, the repository's choice before the account's. */
function toolVersions(env: Env, pin: ReadPin): [string, string][] {
  const home = env['HOME'] ?? '/nonexistent'
  const texts = [
    pin('.tool-versions'),
    pin('mise.toml'),
    pin('.mise.toml'),
    readText(join(home, '.tool-versions')),
    readText(join(home, '.config/mise/config.toml')),
  ]
  return texts.flatMap((text) =>
    [...(text ?? '').matchAll(/^"?([\w-]+)"?(?:\s*=\s*"|\s+)(?:lts-)?v?([\d.]+)/gm)].map((match): [string, string] => [
      match[1]!,
      match[2]!,
    ]),
  )
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false

function list(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted()
  } catch {
    return [] // nothing installed
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // no choice was made
  }
}
