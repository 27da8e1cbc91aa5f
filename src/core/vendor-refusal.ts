/**
 * What a provider's "no" means: the one place that knows each vendor's statuses, codes and wording, and what a person does about it. Used by
 * `doctor --live`, by the gateway for the reason of an attempt, and by `show`.
 *
 *     status + body, or the words a client passed on ─▶ the first row that fits ─▶ what happened, why, what to type next
 *
 * Sources: facts (agents §4, budget §2), the vendors' typed SDKs and error pages. A row never repeats what the provider said: that may hold a part of
 * the key, or of the request.
 */
import type { Family } from './family.ts'
import type { Outcome } from './outcome.ts'

export type Refused = {
  family: Family
  /** Null: there was no answer, or it is not known. */
  status: number | null
  /** The body as it came, the words of a client, or the code of a system error. */
  text: string
}

export const meanings = [
  'key-invalid',
  'key-login',
  'key-not-allowed',
  'no-credit',
  'spend-limit',
  'model-unknown',
  'model-not-allowed',
  'region',
  'service-off',
  'quota-day',
  'rate-limited',
  'overloaded',
  'too-large',
  'request-unfit',
  'proxy',
  'certificate',
  'no-such-host',
  'unreachable',
  'over-budget',
  'price-unknown',
  'denied-here',
] as const

export type Meaning = (typeof meanings)[number]

export type Explanation = {
  means: Meaning
  /** What happened, half a sentence without names: `the provider does not know this key`. */
  what: string
  why: string
  /** What to type or do next. */
  next: string
}

type Row = {
  means: Meaning
  family?: Family
  /** Any of these; without it the status says nothing here. */
  status?: readonly number[]
  /** In the body; without it the status alone decides. */
  text?: RegExp
  what: string
  why: string
  /** With the family's name and, where it is known, the model. */
  next: (family: Family, model: string) => string
}

/** Where a person looks after their account with each vendor. */
const consoles: Readonly<Record<string, { keys: string; billing: string; limits: string }>> = {
  anthropic: {
    keys: 'console.anthropic.com → API keys',
    billing: 'console.anthropic.com → Plans & Billing',
    limits: 'console.anthropic.com → Limits',
  },
  openai: {
    keys: 'platform.openai.com → API keys',
    billing: 'platform.openai.com → Billing',
    limits: 'platform.openai.com → Limits',
  },
  google: {
    keys: 'aistudio.google.com → API keys',
    billing: 'aistudio.google.com → Billing',
    limits: 'aistudio.google.com → Usage',
  },
}

const consoleOf = (family: Family, page: 'keys' | 'billing' | 'limits'): string =>
  consoles[family]?.[page] ?? `the account with the provider of ${family}`

const setKey = (family: Family): string => `tri-agent keys set ${family}`
const again = 'tri-agent doctor --live'

const invalid = {
  means: 'key-invalid',
  what: 'the provider does not know this key',
  why: 'it was mistyped, revoked, has expired, or belongs to another provider',
  next: (family: Family) => `${setKey(family)}   # a new one: ${consoleOf(family, 'keys')}`,
} as const

const credit = {
  means: 'no-credit',
  what: 'the account has no credit left',
  why: 'the provider answers nothing until it is topped up; the key itself is right',
  next: (family: Family) => `top it up (${consoleOf(family, 'billing')}), then: ${again}`,
} as const

const spend = {
  means: 'spend-limit',
  what: "the account's own spending limit is reached",
  why: 'the provider enforces a limit that was set there, beside the one here',
  next: (family: Family) => `raise it or wait for its reset (${consoleOf(family, 'limits')}), then: ${again}`,
} as const

const model = {
  means: 'model-unknown',
  what: 'the provider does not know this model',
  why: 'the name is wrong, the model was withdrawn, or this key may not use it',
  next: (family: Family, name: string) =>
    `correct families.${family}.models${name === '' ? '' : ` (now ${name})`} in your settings, then: ${again}`,
} as const

const unreachable = {
  means: 'unreachable',
  what: 'the provider could not be reached',
  why: 'no network, a firewall, or baseUrl names something that is not there',
  next: (family: Family) =>
    `check families.${family}.baseUrl (tri-agent config show), the network and HTTPS_PROXY, then: ${again}`,
} as const

/** A proxy without the login it wants. Its answer is a status where it was asked itself, and words where a tunnel was. */
const login = {
  means: 'proxy',
  what: 'a proxy between here and the provider wants a login',
  why: 'HTTPS_PROXY leads to it without a user and a password, or with wrong ones',
  next: () => `export HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, then: ${again}`,
} as const

/** The first row that fits counts, so what is said in words stands before what only a status says. */
const rows: readonly Row[] = [
  // our own gateway, first: its words reach us through every client
  {
    means: 'over-budget',
    text: /\bBUDGET_EXCEEDED\b|Reached maximum budget/,
    what: 'a budget of yours is reached',
    why: 'no request leaves once what is spent and held reaches a limit',
    next: () => 'tri-agent budget raise TASK 5, or: tri-agent budget raise day 20',
  },
  {
    means: 'price-unknown',
    text: /has no price\b|no price (?:is )?known|price-unknown/,
    what: 'this model has no known price',
    why: 'a request that cannot be priced is refused, never taken as free',
    next: (_, name) =>
      `say it in your settings: prices: { ${name || 'MODEL'}: { input: …, output: … } }   # dollars per million tokens`,
  },
  {
    means: 'denied-here',
    text: /\b(?:DENIED|REFUSED): /,
    what: 'the gateway here refused the request',
    why: 'the agent asked for something its attempt may not have: another model, another path, a tool of the provider',
    next: () => 'tri-agent output TASK   # what it was about',
  },
  // something between us and the provider
  { status: [407], ...login },
  { text: /the proxy \S+ answered 407|ERR_PROXY_TUNNEL 407/, ...login },
  {
    means: 'proxy',
    text: /^\s*<(?:!doctype|html|head|body)\b|tunneling socket|the proxy \S+ answered|answered with a redirect|ERR_PROXY_/i,
    what: 'something between here and the provider answered in its place',
    why: 'a page instead of an answer: a corporate proxy, a firewall, a login page of the network, or a baseUrl that is no API',
    next: (family) =>
      `check HTTPS_PROXY, NO_PROXY and families.${family}.baseUrl (tri-agent config show --origin), then: ${again}`,
  },
  {
    means: 'certificate',
    text: /self.signed certificate|SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET_ISSUER)|CERT_(?:HAS_EXPIRED|UNTRUSTED|NOT_YET_VALID)|unable to (?:verify the first|get local issuer) certificate|ERR_TLS_CERT/i,
    what: "the connection's certificate is not trusted here",
    why: 'a corporate proxy opens encrypted connections with a certificate of its own, or the clock of this machine is wrong',
    next: () => `export NODE_EXTRA_CA_CERTS=/path/to/the/company.pem, then: ${again}`,
  },
  {
    means: 'no-such-host',
    text: /\bENOTFOUND\b|\bEAI_AGAIN\b|getaddrinfo/,
    what: "the provider's name cannot be resolved",
    why: 'no network, no name server, or a mistyped baseUrl',
    next: (family) => `check the network and families.${family}.baseUrl (tri-agent config show), then: ${again}`,
  },
  // keys
  {
    means: 'key-login',
    text: /OAuth authentication is currently not supported|Not logged in|Please run \/login|usage limit.*(?:chatgpt\.com|Plus|Pro)|chatgpt\.com\/settings\/usage/is,
    what: "a subscription's login was used instead of an API key",
    why: 'subscriptions cannot pass through the gateway without losing features and promises',
    next: (family) => setKey(family),
  },
  {
    family: 'anthropic',
    text: /credit balance is too low|billing_error/i,
    ...credit,
  },
  {
    family: 'anthropic',
    text: /reached your specified API usage limits|monthly spend limit/i,
    ...spend,
  },
  {
    family: 'openai',
    text: /spend_limit_exceeded|billing_hard_limit_reached|hard limit has been reached/i,
    ...spend,
  },
  {
    family: 'openai',
    text: /insufficient_quota|exceeded your current quota|Quota exceeded\. Check your plan/i,
    ...credit,
  },
  {
    family: 'google',
    text: /prepayment credits are depleted|billing account .*(?:disabled|not active)/i,
    ...credit,
  },
  {
    means: 'key-not-allowed',
    family: 'google',
    text: /reported as leaked/i,
    what: 'the provider has blocked this key',
    why: 'it was found in public and reported as leaked',
    next: (family) => `${setKey(family)}   # make a new one: ${consoleOf(family, 'keys')}`,
  },
  {
    means: 'region',
    text: /unsupported_country_region_territory|User location is not supported|not available in your (?:country|region)/i,
    what: 'the provider does not serve where this machine is',
    why: 'it goes by the address the request comes from',
    next: () => 'use a family that is served here, or reach the provider through a proxy that may: HTTPS_PROXY',
  },
  {
    means: 'service-off',
    family: 'google',
    text: /SERVICE_DISABLED|has not been used in project|API_KEY_SERVICE_BLOCKED|are blocked\./,
    what: 'the API is not switched on for this key',
    why: "the key's project has the Generative Language API off, or the key is restricted to others",
    next: (family) => `switch it on, or make the key anew in ${consoleOf(family, 'keys')}; then: ${again}`,
  },
  {
    text: /invalid_api_key|Incorrect API key|API_KEY_INVALID|API key (?:not valid|expired|not found)|invalid x-api-key|authentication_error|invalid bearer token|UNAUTHENTICATED/i,
    ...invalid,
  },
  // models
  {
    means: 'model-not-allowed',
    text: /does not have access to model|model_not_available|not allowed to (?:sample|use) (?:from )?(?:this )?model/i,
    what: 'this key may not use this model',
    why: "the key's project or workspace leaves it out",
    next: (family, name) =>
      `allow ${name || 'it'} there (${consoleOf(family, 'limits')}), or name another in families.${family}.models`,
  },
  {
    text: /model_not_found|not_found_error|is not found for API version|model .{0,200}does not exist|\bmodel: \S+/is,
    status: [400, 404],
    ...model,
  },
  {
    text: /model_not_found|is not found for API version|The model .{0,200}does not exist/is,
    ...model,
  },
  // later
  {
    means: 'quota-day',
    text: /PerDay|daily quota|requests per day|tokens per day/i,
    what: "the day's quota with the provider is used up",
    why: "it is the account's own, per day and model; asking again before its reset is refused too",
    next: (family) => `wait for the reset or raise it (${consoleOf(family, 'limits')})`,
  },
  {
    means: 'overloaded',
    text: /overloaded_error|\boverloaded\b|server_is_overloaded|slow_down/i,
    what: 'the provider is overloaded',
    why: 'it is not about this account',
    next: () => 'nothing: it is asked again by itself',
  },
  {
    means: 'rate-limited',
    text: /rate_limit|rate limit|RATE_LIMIT_EXCEEDED|RESOURCE_EXHAUSTED|too many requests|last status: 429/i,
    what: "the account's rate limit is reached",
    why: 'more was asked in a minute than the provider allows this account',
    next: (family) =>
      `nothing: it is asked again by itself. Fewer slots, or a higher tier (${consoleOf(family, 'limits')}), make it rarer`,
  },
  {
    means: 'too-large',
    text: /request_too_large|context_length_exceeded|prompt is too long|exceeds the maximum number of tokens/i,
    what: 'the request was larger than the model takes',
    why: 'the conversation outgrew the context of the model',
    next: () => 'tri-agent cancel TASK, and add it again in smaller parts',
  },
  {
    text: /\bUNREACHABLE: |\bE(?:CONNREFUSED|CONNRESET|TIMEDOUT|HOSTUNREACH|NETUNREACH|PIPE)\b|could not be reached|did not answer the connection/,
    ...unreachable,
  },
  // by the status alone
  { status: [401], ...invalid },
  { status: [402], ...credit },
  {
    means: 'key-not-allowed',
    status: [403],
    what: 'the provider knows the key and says no',
    why: 'the key, its project or its workspace may not do this',
    next: (family) => `look at what the key may do (${consoleOf(family, 'keys')}), or: ${setKey(family)}`,
  },
  { status: [404], ...model },
  {
    means: 'too-large',
    status: [413],
    what: 'the request was larger than the provider takes',
    why: 'there is an upper bound for a whole request',
    next: () => 'tri-agent cancel TASK, and add it again in smaller parts',
  },
  {
    means: 'rate-limited',
    status: [429],
    what: "the account's rate limit is reached",
    why: 'more was asked in a minute than the provider allows this account',
    next: (family) =>
      `nothing: it is asked again by itself. Fewer slots, or a higher tier (${consoleOf(family, 'limits')}), make it rarer`,
  },
  {
    means: 'overloaded',
    status: [500, 502, 503, 504, 520, 522, 524, 529],
    what: 'the provider has trouble of its own',
    why: 'it is not about this account',
    next: () => 'nothing: it is asked again by itself',
  },
  {
    means: 'request-unfit',
    status: [400, 405, 409, 415, 422],
    what: 'the provider did not understand the request',
    why: 'the client and the provider disagree about the form: often a client newer or older than the ones tested',
    next: () => 'tri-agent doctor   # says which clients are tested',
  },
]

/** What a provider's no means, or null where nothing is known about it. */
export function explainRefusal(refused: Refused, modelName = ''): Explanation | null {
  const row = rows.find((each) => fits(each, refused))
  return row ? explained(row, refused.family, modelName) : null
}

function fits({ family, status, text }: Row, refused: Refused): boolean {
  if (family !== undefined && family !== refused.family) return false
  if (status !== undefined && (refused.status === null ? text === undefined : !status.includes(refused.status)))
    return false
  return text === undefined || text.test(refused.text)
}

const explained = ({ means, what, why, next }: Row, family: Family, modelName: string): Explanation => ({
  means,
  what,
  why,
  next: next(family, modelName),
})

/** The gateway's reason for an attempt that a provider refused: ours, so that nothing of the body is in it. `explainReason` knows it again. */
export function reasonOf(refused: Refused): string {
  const found = explainRefusal(refused)
  const status = refused.status === null ? '' : `the provider answered ${refused.status}`
  return found === null ? status : `${found.what}${status === '' ? '' : ` (${status})`}`
}

/** What a recorded reason means, whether the gateway wrote it or a client did. Null: nothing about providers. */
export function explainReason(family: Family, outcome: Outcome, reason: string, modelName = ''): Explanation | null {
  if (!['refused', 'rate-limited', 'unreachable', 'over-budget'].includes(outcome)) return null
  const ours = rows.find(({ what }) => reason.startsWith(what))
  if (ours && ours.means !== 'unreachable') return explained(ours, family, modelName)
  const status = Number(/\b(?:answered|status|Error:|code":) ?([45]\d\d)\b/.exec(reason)?.[1] ?? Number.NaN)
  return explainRefusal({ family, status: Number.isNaN(status) ? null : status, text: reason }, modelName)
}
