/**
 * How an answer leaves the loopback provider: whole, as a stream, or damaged as a fault orders.
 * It never decides what is answered. Every way out is written into the request's record.
 */
import type { ServerResponse } from 'node:http'
import type { Dialect, Json, Tokens } from './dialect/dialect.ts'
import type { RequestRecord } from './record.ts'
import type { WireFault } from './wire-fault.ts'

export type Delivery = {
  response: ServerResponse
  record: RequestRecord
  dialect: Dialect | null
  headers: Record<string, string>
  /** Epoch milliseconds at which the request came. */
  now: number
  /** Waits, or ends at once when the client is gone. */
  pause(ms: number): Promise<void>
  /** Write a stream as one JSON array. */
  asArray: boolean
}

/** An answer made but not sent. `frames` is null where no stream was asked for. */
export type Answer = { tokens: Tokens; frames: readonly string[] | null; whole(): Json }

const slowMs = 200 // long enough to see, short enough for a test

/** Sends JSON and ends. */
export function sendJson(delivery: Delivery, status: number, body: unknown, headers = {}): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  delivery.record.status = status
  delivery.response.writeHead(status, { 'content-type': 'application/json', ...delivery.headers, ...headers })
  delivery.response.end(text)
}

/** Sends the answer as it should be, with `pauseMs` before each frame. */
export async function sendReply(delivery: Delivery, answer: Answer, pauseMs = 0): Promise<void> {
  const { record, response } = delivery
  record.tokens = answer.tokens
  if (!answer.frames) {
    if (pauseMs > 0) await delivery.pause(pauseMs)
    return sendJson(delivery, 200, answer.whole())
  }
  if (delivery.asArray)
    return sendJson(delivery, 200, `[${answer.frames.map((text) => text.slice('data: '.length).trim()).join(',\n')}]`)
  openStream(delivery)
  for (const text of answer.frames) {
    if (pauseMs > 0) await delivery.pause(pauseMs)
    if (response.destroyed) return
    response.write(text)
  }
  response.end()
}

/** Does what the fault orders. `answer` is what would have been sent, null where the fault comes before any thought of it. */
export async function sendFault(delivery: Delivery, fault: WireFault, answer: Answer | null): Promise<void> {
  const { record, response } = delivery
  record.fault = fault.action ?? 'status'
  switch (fault.action) {
    case undefined: {
      const status = fault.status ?? 500
      const body = fault.body ?? delivery.dialect?.encodeError(status, `ordered fault ${status}`) ?? {}
      return sendJson(delivery, status, body, fault.headers)
    }
    case 'reset':
      response.socket?.resetAndDestroy()
      return
    case 'hang':
      return
    case 'slow':
      return answer ? sendReply(delivery, answer, fault.delayMs ?? slowMs) : delivery.pause(fault.delayMs ?? slowMs)
    case 'midhang':
      return begin(delivery, answer, 1)
    case 'cut':
      begin(delivery, answer, 0.5)
      response.socket?.end() // after what was written, so that the half does arrive
      return
    case 'error-event': {
      const status = fault.status ?? 529
      begin(delivery, answer, 0.5)
      response.end(delivery.dialect?.encodeStreamError(status, `ordered fault ${status} in the stream`) ?? '')
    }
  }
}

/** The beginning of an answer: its first frame, or a share of its frames; of an answer in one piece a share of its bytes. */
function begin(delivery: Delivery, answer: Answer | null, share: number): void {
  const { response, record } = delivery
  if (answer?.frames) {
    openStream(delivery)
    const count = share === 1 ? 1 : Math.max(1, Math.floor(answer.frames.length * share))
    for (const text of answer.frames.slice(0, count)) response.write(text)
    return
  }
  record.status = 200
  const text = JSON.stringify(answer?.whole() ?? {})
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) })
  response.write(text.slice(0, Math.floor(text.length / 2)))
}

function openStream({ response, record, headers }: Delivery): void {
  record.status = 200
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    ...headers,
  })
  response.flushHeaders()
}
