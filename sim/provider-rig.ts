/**
 * What the provider's tests share: one scenario, one question in each dialect. No test of its own.
 */
import { startProvider } from './provider.ts'
import type { Provider, ProviderOptions } from './provider.ts'
import type { Scenario } from './scenario.ts'
import { virtualWorld } from './world.ts'
import type { VirtualWorld } from './world.ts'

export const scenario: Scenario = {
  rules: [
    {
      when: ['task'],
      steps: [{ shell: 'ls' }, { say: 'all done' }],
      usage: { input: 100, cachedInput: 40, output: 9, thinking: 3 },
    },
    { when: ['stall'], steps: [{ hang: true }] },
  ],
}

export async function withProvider(
  body: (provider: Provider, world: VirtualWorld) => Promise<void>,
  options: Partial<ProviderOptions> = {},
) {
  const world = virtualWorld()
  await using provider = await startProvider({ world, scenario, ...options })
  await body(provider, world)
}

const tools = {
  messages: [{ name: 'Bash', input_schema: {} }],
  responses: [{ type: 'function', name: 'exec_command', parameters: {} }],
  chat: [{ type: 'function', function: { name: 'bash' } }],
  gemini: [{ functionDeclarations: [{ name: 'run_shell_command' }] }],
}
export const asks = (words: string, stream: boolean): Record<string, [path: string, body: object]> => ({
  messages: [
    '/v1/messages',
    { model: 'claude-x', stream, messages: [{ role: 'user', content: words }], tools: tools.messages },
  ],
  responses: ['/v1/responses', { model: 'gpt-x', stream, input: words, tools: tools.responses }],
  chat: [
    '/v1/chat/completions',
    { model: 'gpt-x', stream, messages: [{ role: 'user', content: words }], tools: tools.chat },
  ],
  gemini: [
    `/v1beta/models/gemini-x:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    { contents: [{ role: 'user', parts: [{ text: words }] }], tools: tools.gemini },
  ],
})

export type Got = { status: number; headers: Record<string, string>; text: string }

export async function post(
  provider: Provider,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Got> {
  const response = await fetch(provider.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() }
}

export const askOne = (provider: Provider, which = 'messages', stream = true, words = 'the task', headers = {}) => {
  const [path, body] = asks(words, stream)[which] ?? ['', {}]
  return post(provider, path, body, headers)
}

export const names = ['messages', 'responses', 'chat', 'gemini'] as const
