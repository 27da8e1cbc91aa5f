/**
 * What the gateway itself says, in each client's own tongue, with the status that makes that client do the sensible thing.
 *
 * The statuses are what the real CLIs were seen to do: Claude Code sends six requests on 400 and retries 401 for minutes but stops on 402 and 403;
 * Codex sends 30 on a 5xx and six on 402 but stops on 400 and waits out a short Retry-After; Gemini CLI stops on 402 and 403.
 */
import type { ServerResponse } from 'node:http'
import type { Dialect } from './route.ts'

/** Why the gateway answers itself: no right to ask, a request that cannot be taken, no money, a provider's limit (ask again soon, or stop), no provider. */
export type AnswerKind = 'denied' | 'unfit' | 'too-large' | 'over-budget' | 'limit-short' | 'limit-long' | 'unreachable'

type Shape = { status: number; type: string; code: string; headers?: Record<string, string> }

/** What a dialect's client is like: all that the gateway knows of it. */
type Quirks = {
  /** How long a request may wait here for its answer's head, with room before its client gives up. */
  patienceMs: number
  /** What it is told where the provider does not know our key (401), which no second request can mend. */
  wrongKeyStatus: number
  /** What the gateway itself says, so that the client stops, or asks again when it should. */
  answers: Readonly<Record<AnswerKind, Shape>>
}

export const quirks: Readonly<Record<Dialect, Quirks>> = {
  // Claude Code: gives up at 360 s, retries a 401 for minutes, waits as retry-after says
  'anthropic-messages': {
    patienceMs: 280_000,
    wrongKeyStatus: 403,
    answers: {
      denied: { status: 403, type: 'permission_error', code: 'denied' },
      unfit: { status: 403, type: 'invalid_request_error', code: 'unfit' },
      'too-large': { status: 413, type: 'request_too_large', code: 'too_large' },
      'over-budget': { status: 402, type: 'billing_error', code: 'budget_exceeded' },
      'limit-short': { status: 429, type: 'rate_limit_error', code: 'limited', headers: { 'retry-after': '20' } },
      'limit-long': { status: 402, type: 'billing_error', code: 'limited' },
      unreachable: { status: 502, type: 'api_error', code: 'unreachable' },
    },
  },
  // Codex: waits for ever, asks six times at a 401 and 30 at a 5xx, sleeps a retry-after out however long it is
  'openai-responses': {
    patienceMs: 600_000,
    wrongKeyStatus: 400,
    answers: {
      denied: { status: 403, type: 'invalid_request_error', code: 'denied' },
      unfit: { status: 400, type: 'invalid_request_error', code: 'unfit' },
      'too-large': { status: 413, type: 'invalid_request_error', code: 'too_large' },
      'over-budget': { status: 400, type: 'invalid_request_error', code: 'budget_exceeded' },
      'limit-short': { status: 429, type: 'rate_limit_error', code: 'limited', headers: { 'retry-after': '20' } },
      'limit-long': { status: 400, type: 'invalid_request_error', code: 'limited' },
      unreachable: { status: 429, type: 'server_error', code: 'unreachable', headers: { 'retry-after': '5' } },
    },
  },
  // opencode: gives up at 300 s
  'openai-chat': {
    patienceMs: 280_000,
    wrongKeyStatus: 401,
    answers: {
      denied: { status: 403, type: 'invalid_request_error', code: 'denied' },
      unfit: { status: 400, type: 'invalid_request_error', code: 'unfit' },
      'too-large': { status: 413, type: 'invalid_request_error', code: 'too_large' },
      'over-budget': { status: 400, type: 'invalid_request_error', code: 'budget_exceeded' },
      'limit-short': { status: 429, type: 'rate_limit_error', code: 'limited', headers: { 'retry-after': '20' } },
      'limit-long': { status: 400, type: 'invalid_request_error', code: 'limited' },
      unreachable: { status: 502, type: 'server_error', code: 'unreachable' },
    },
  },
  // Gemini CLI: gives up at 60 s and asks again, reads no retry-after
  gemini: {
    patienceMs: 50_000,
    wrongKeyStatus: 401,
    answers: {
      denied: { status: 403, type: 'PERMISSION_DENIED', code: 'denied' },
      unfit: { status: 400, type: 'INVALID_ARGUMENT', code: 'unfit' },
      'too-large': { status: 413, type: 'INVALID_ARGUMENT', code: 'too_large' },
      'over-budget': { status: 402, type: 'FAILED_PRECONDITION', code: 'budget_exceeded' },
      'limit-short': { status: 429, type: 'RESOURCE_EXHAUSTED', code: 'limited', headers: { 'retry-after': '20' } },
      'limit-long': { status: 402, type: 'FAILED_PRECONDITION', code: 'limited' },
      unreachable: { status: 502, type: 'UNAVAILABLE', code: 'unreachable' },
    },
  },
}

/** Marker at the start of the message, so that a log or a CLI's last words can be told from the provider's. */
const markers: Readonly<Record<AnswerKind, string>> = {
  denied: 'DENIED',
  unfit: 'REFUSED',
  'too-large': 'REFUSED',
  'over-budget': 'BUDGET_EXCEEDED',
  'limit-short': 'LIMITED',
  'limit-long': 'LIMITED',
  unreachable: 'UNREACHABLE',
}

export type Answer = { status: number; headers: Record<string, string>; body: string }

/** The gateway's own answer. `why` is one sentence for people; never put anything from a body into it. */
export function answerOf(dialect: Dialect, kind: AnswerKind, why: string): Answer {
  const { status, type, code, headers } = quirks[dialect].answers[kind]
  const message = `${markers[kind]}: ${why}`
  const body =
    dialect === 'anthropic-messages'
      ? { type: 'error', error: { type, message } }
      : dialect === 'gemini'
        ? { error: { code: status, message, status: type } }
        : { error: { message, type, code } }
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
}

/** Sends it, if nothing was sent yet; a connection whose request was not read to its end is closed with it. */
export function send(response: ServerResponse, answer: Answer): void {
  if (response.headersSent || response.destroyed) return
  const unread = !response.req.complete
  response.writeHead(answer.status, {
    ...answer.headers,
    'content-length': Buffer.byteLength(answer.body),
    ...(unread ? { connection: 'close' } : {}),
  })
  response.end(answer.body)
}
