/**
 * What dependency set-up is given: a way to its registries and the operator's credentials for private ones. Credentials are read once, when the daemon
 * starts; a repository that is not among those a credential is for, or whose task changed its dependency files, does not get it.
 */
import { readFileSync } from 'node:fs'
import type { LookupFunction } from 'node:net'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import type { OperatorSettings } from '../core/setting.ts'
import { openEgress } from '../gateway/egress.ts'
import { proxyEnvOf } from '../gateway/proxy.ts'
import { type ReadCredential, readCredential } from '../host/credential.ts'
import type { Env } from '../host/path.ts'
import type { World } from '../host/world.ts'
import type { Registries } from '../stage/stage.ts'

/** All credentials the settings name. Refuses what `readCredential` does: what is configured and not there is not left out in silence. */
export function readCredentials(settings: OperatorSettings, env: Env, configFile: string): ReadCredential[] | Refusal {
  const read: ReadCredential[] = []
  for (const credential of settings.setup.credentials) {
    const found = readCredential(credential, env, configFile)
    if (isRefusal(found)) return found
    read.push(found)
  }
  return read
}

/** The registries for this machine: its proxy and its certificates are those of `env`. */
export function registriesFor(ports: {
  world: World
  folder: string
  env: Env
  settings: OperatorSettings
  credentials: readonly ReadCredential[]
  /** How names become addresses. */
  resolve?: LookupFunction
}): Registries {
  const { world, folder, env, settings, credentials, resolve } = ports
  return {
    async open({ hosts, repository, trusted }) {
      const allowed = { operator: settings.setup.hosts, repository: hosts }
      const egress = await openEgress(
        { world, folder, proxy: proxyEnvOf(env), ...(resolve ? { resolve } : {}) },
        allowed,
      )
      const own = credentials.filter(({ repositories }) => repositories === null || repositories.includes(repository))
      const given = own.filter(({ whenChanged }) => trusted || whenChanged)
      const files = given
        .filter((each) => each.as === 'file')
        .map(({ name, text }) => ({ path: name, text, variables: [] }))
      return {
        gateway: { socket: egress.socket, url: egress.url },
        env: Object.fromEntries(given.filter((each) => each.as === 'variable').map(({ name, text }) => [name, text])),
        files: [...files, ...certificates(env)],
        secrets: given.flatMap(({ secrets }) => secrets),
        withheld: own.filter((each) => !given.includes(each)).map(({ name }) => name),
        reached: egress.reached,
        [Symbol.asyncDispose]: () => egress[Symbol.asyncDispose](),
      }
    },
  }
}

/** Where systems keep the certificates everybody trusts. */
const bundles = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem']
/** Each tool asks for another name, and takes the file instead of the system's, not beside it. */
const bundleVariables =
  'SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO CARGO_HTTP_CAINFO'.split(' ')

/** The certificates of a network that looks into TLS, made known to package managers. None where NODE_EXTRA_CA_CERTS names none. */
function certificates(env: Env): { path: string; text: string; variables: string[] }[] {
  const extra = env['NODE_EXTRA_CA_CERTS'] ? readText(env['NODE_EXTRA_CA_CERTS']) : null
  if (extra === null) return []
  const usual = [env['SSL_CERT_FILE'] ?? '', ...bundles]
    .filter(Boolean)
    .map(readText)
    .find((text) => text !== null)
  return [
    { path: '.tri-agent/extra.pem', text: extra, variables: ['NODE_EXTRA_CA_CERTS'] },
    { path: '.tri-agent/all.pem', text: `${usual ?? ''}\n${extra}`, variables: bundleVariables },
  ]
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null // Node says so itself, at its start, where the operator named it
  }
}
