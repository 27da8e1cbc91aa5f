/**
 * Where dependencies come from: the public registries of the programs a set-up starts, and the hosts that lockfiles and package managers' settings
 * name themselves. And which of them a connection may go to. Pure; what is not named here is not reached.
 */

/** Programs that fetch, and where they ask when nobody tells them otherwise. */
const registries: readonly (readonly [program: RegExp, hosts: readonly string[]])[] = [
  [/^(?:npm|npx|pnpm|yarn|bun|corepack)$/, ['npm.example.com', 'yarn.example.com']],
  [/^(?:pip3?|uv|poetry|pdm|pipenv)$/, ['pip.example.com', 'files.example.com']],
  [/^cargo$/, ['index.cargo.example.com', 'static.cargo.example.com']],
  [/^go$/, ['proxy.go.example.com', 'sum.go.example.com']],
  [/^(?:mvn|mvnw)$/, ['repo.maven.example.com', 'repo1.maven.example.com']],
  [
    /^(?:gradle|gradlew)$/,
    [
      'services.gradle.example.com',
      'downloads.gradle.example.com',
      'plugins.gradle.example.com',
      'plugins-artifacts.gradle.example.com',
      'repo.maven.example.com',
      'repo1.maven.example.com',
    ],
  ],
  [/^(?:bundle|bundler|gem)$/, ['gems.example.com', 'index.gems.example.com']],
]

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
 * The hosts a set-up needs, in order: the registries of its programs, then what its files name. `host`, or `host:port` where a port is named.
 * Addresses and local names are never taken from a repository.
 */
export function registriesOf(commands: readonly string[], files: readonly { path: string; text: string }[]): string[] {
  const words = commands.flatMap((command) => command.split(/[\s;&|()]+/)).map((word) => word.split('/').at(-1)!)
  const usual = registries.flatMap(([program, hosts]) => (words.some((word) => program.test(word)) ? hosts : []))
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
    if (host === 'github.com' && url?.[3]?.startsWith('/rust-lang/crates.io-index')) continue // a name for the usual registry, not a place
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
