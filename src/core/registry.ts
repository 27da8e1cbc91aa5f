/**
 * Where dependencies come from: the registries that the programs of a set-up say they ask, and the hosts that lockfiles and package managers' settings
 * name themselves. And which of them a connection may go to. No registry is named here: a mirror of the operator's is as good as the public one.
 */

/** Programs that fetch, and the command that says where they ask on this machine. Other programs' registries are named by a file, or by the operator. */
const sayings: readonly (readonly [program: RegExp, argv: readonly string[]])[] = [
  [/^(?:npm|npx|pnpm|yarn|bun|corepack)$/, ['npm', 'config', 'get', 'registry']],
  [/^go$/, ['go', 'env', 'GOPROXY', 'GOSUMDB']],
  [/^(?:bundle|bundler|gem)$/, ['gem', 'sources', '--list']],
]

/** What to ask the machine for these set-up commands: each program's own word on its registry. */
export function sayingsOf(commands: readonly string[]): string[][] {
  const words = commands.flatMap((command) => command.split(/[\s;&|()]+/)).map((word) => word.split('/').at(-1)!)
  return sayings.flatMap(([program, argv]) => (words.some((word) => program.test(word)) ? [[...argv]] : []))
}

/** The hosts in what such a program said: URLs, and names that stand alone. */
export const hostsSaid = (said: string): string[] =>
  said
    .split(/[\s,|]+/)
    .flatMap(
      (word) =>
        /^(?:https?:\/\/)?([a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*(?::\d{1,5})?)(?:\/\S*)?$/i.exec(word)?.[1] ??
        [],
    )
    .map((host) => host.toLowerCase())

/** Files that may name a registry, and the words that stand before its URL there. A funding link or a home page is none. */
const namings: readonly (readonly [file: RegExp, before: RegExp])[] = [
  [/(?:package-lock|npm-shrinkwrap)\.json$/, /"resolved":\s*"(?:git\+)?/g],
  [/yarn\.lock$/, /\bresolved "|\bresolution: ".*?@/g],
  [/pnpm-lock\.yaml$/, /\btarball: ['"]?/g],
  [/\.npmrc$/, /\bregistry\s*=\s*/g],
  [/\.yarnrc\.yml$/, /\bnpmRegistryServer:\s*['"]?/g],
  [/(?:uv|poetry)\.lock$/, /\b(?:registry|url|git) = "/g],
  [/pyproject\.toml$/, /\b(?:index-url|url)\s*=\s*"/g],
  [/requirements[^/]*\.txt$/, /(?:^|\s)(?:--(?:extra-)?index-url|-i|--find-links)[= ]\s*|@ (?:git\+)?/g],
  [/Cargo\.lock$/, /\bsource = "(?:sparse|registry|git)\+/g],
  [/Gemfile(?:\.lock)?$/, /\bremote: |\bsource ["']/g],
  [/pom\.xml$/, /<(?:repository|pluginRepository)>(?:(?!<\/)[^]|<\/(?!repository|pluginRepository))*?<url>\s*/g],
  [/\.gradle(?:\.kts)?$/, /\burl\s*=?\s*(?:uri\()?["']/g],
]

/** More than this is no list of registries. */
const mostHosts = 40

/**
 * The hosts a set-up needs, in order: `usual`, those its programs ask on this machine, then what its files name. `host`, or `host:port` where a port is
 * named. Addresses and local names are never taken from a repository.
 */
export function registriesOf(usual: readonly string[], files: readonly { path: string; text: string }[]): string[] {
  const named = files.flatMap(({ path, text }) =>
    namings.flatMap(([file, before]) => (file.test(path) ? hostsAfter(text, before) : [])),
  )
  return [...new Set([...usual, ...named])].slice(0, mostHosts)
}

function hostsAfter(text: string, before: RegExp): string[] {
  const hosts = new Set<string>()
  for (const match of text.matchAll(before)) {
    const rest = text.slice(match.index + match[0].length, match.index + match[0].length + 500)
    const url = /^https?:\/\/(?:[^\s/@"']*@)?([A-Za-z0-9.-]+)(:\d{1,5})?(?=[/"'\s?#]|$)(\/[^\s"']*)?/.exec(rest)
    const host = url?.[1]?.toLowerCase()
    if (!host || !/^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*$/.test(host) || /(?:^|\.)localhost$/.test(host))
      continue
    if (/(?:^|\/)crates\.io-index$/.test(url?.[3] ?? '')) continue // Cargo's name for its usual registry, not a place
    hosts.add(host + (url?.[2] ?? ''))
  }
  return [...hosts]
}

/** How an operator names a place: a host, `*.` for all below it, and a port where it is not the usual one. */
export const hostPattern = /^(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?$/

/** May this host and port be reached? `usualPort` is the one that a name without a port means. */
export function mayReach(allowed: readonly string[], host: string, port: number, usualPort: number): boolean {
  const wanted = host.toLowerCase().replace(/\.$/, '')
  return allowed.some((each) => {
    const [name = '', named] = each.toLowerCase().split(':')
    if ((named === undefined ? usualPort : Number(named)) !== port) return false
    return name.startsWith('*.') ? wanted.endsWith(name.slice(1)) && wanted.length > name.length - 1 : wanted === name
  })
}
