import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anthropic } from './anthropic.ts'
import type { Json } from './dialect.ts'
import { spoken } from './dialect.ts'
import { gemini } from './gemini.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'

// Requests as the real clients send them, cut down to what is read.
const heard = { system: 'You are an agent.', user: 'Fix the bug', lastUser: 'Fix the bug', toolResults: 2 }

test('anthropic: a prompt beside the result of a session that was broken off begins anew', () => {
  const call = { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_r1_a', name: 'Bash', input: {} }] }
  const result = { type: 'tool_result', tool_use_id: 'toolu_r1_a', content: 'ok' }
  const messages = [
    { role: 'user', content: '# Implement' },
    call,
    { role: 'user', content: [result, { type: 'text', text: '# Implement\n\nGo on.' }] },
  ]
  const { lastUser, toolResults, marks } = anthropic.decode({ messages }, '/v1/messages')
  assert.deepEqual({ lastUser, toolResults, marks }, { lastUser: '# Implement\n\nGo on.', toolResults: 0, marks: [] })
})

test('anthropic: Claude Code’s reminders, system turns and results are told apart from what a person said', () => {
  const result = { type: 'tool_result', tool_use_id: 'toolu_r1_a', content: 'ok' }
  const body: Json = {
    model: 'claude-opus-5-5',
    stream: true,
    system: [{ type: 'text', text: 'You are an agent.' }],
    tools: [
      { name: 'Bash', input_schema: { type: 'object', properties: { command: {} } } },
      { type: 'web_search_20250305', name: 'web_search' },
    ],
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: '<system-reminder>\ngitStatus: Fix the roof\n</system-reminder>\n' },
          { type: 'text', text: 'Fix the bug' },
        ],
      },
      { role: 'system', content: [{ type: 'text', text: '# Environment' }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_r1_a', name: 'Bash', input: {} }] },
      { role: 'user', content: [result, { type: 'text', text: 'a note of the client, untagged' }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_r1_b', name: 'Bash', input: {} }] },
      { role: 'user', content: [result] },
    ],
  }
  assert.deepEqual(anthropic.decode(body, '/v1/messages'), {
    ...heard,
    system: 'You are an agent.\n\n# Environment',
    model: 'claude-opus-5-5',
    stream: true,
    tools: [
      { name: 'Bash', form: 'json', keys: ['command'] },
      { name: 'web_search', form: 'json', keys: [] },
    ],
    marks: ['toolu_r1_a', 'toolu_r1_b'],
    json: null,
    streamUsage: true,
  })
  const resumed = { ...body, messages: [...(body.messages as Json[]), { role: 'user', content: 'Only JSON now' }] }
  const { user, lastUser, toolResults, marks } = anthropic.decode(resumed, '/v1/messages')
  assert.deepEqual(
    { user, lastUser, toolResults, marks },
    { user: 'Fix the bug\n\nOnly JSON now', lastUser: 'Only JSON now', toolResults: 0, marks: [] },
  )
})

test('openai: Codex’ environment, developer turns and custom tools are told apart', () => {
  const say = (role: string, text: string) => ({ type: 'message', role, content: [{ type: 'input_text', text }] })
  const body: Json = {
    model: 'gpt-5.5',
    stream: true,
    tools: [
      { type: 'function', name: 'exec_command', parameters: { properties: { cmd: {} } } },
      { type: 'custom', name: 'apply_patch' },
      { type: 'namespace', name: 'agents', tools: [{ type: 'function', name: 'spawn' }] },
      { type: 'web_search' },
    ],
    input: [
      say('developer', 'You are an agent.'),
      say('user', '<environment_context>\n  <cwd>/work</cwd>\n</environment_context>'),
      say('user', '# AGENTS.md instructions for /work\n\nFix the roof'),
      say('user', 'Fix the bug'),
      { type: 'reasoning', summary: [] },
      { type: 'custom_tool_call', call_id: 'call_r1_a', name: 'apply_patch', input: 'x' },
      { type: 'custom_tool_call_output', call_id: 'call_r1_a', output: 'ok' },
      { type: 'function_call', call_id: 'call_r1_b', name: 'exec_command', arguments: '{}' },
      { type: 'function_call_output', call_id: 'call_r1_b', output: 'ok' },
    ],
    text: { format: { type: 'json_schema', schema: { type: 'object' } } },
  }
  assert.deepEqual(openaiResponses.decode(body, '/v1/responses'), {
    ...heard,
    system: '\n\nYou are an agent.',
    model: 'gpt-5.5',
    stream: true,
    tools: [
      { name: 'exec_command', form: 'json', keys: ['cmd'] },
      { name: 'apply_patch', form: 'freeform', keys: [] },
      { name: 'agents', form: 'json', keys: [] },
      { name: 'spawn', form: 'json', keys: [] },
      { name: 'web_search', form: 'json', keys: [] },
    ],
    marks: ['call_r1_a', 'call_r1_b'],
    json: { schema: { type: 'object' } },
    streamUsage: true,
  })
  assert.equal(openaiResponses.decode({ model: 'm', input: 'plain words' }, '/v1/responses').user, 'plain words')
})

test('openai: tools that Codex hands over within the conversation are tools', () => {
  const exec = { type: 'custom', name: 'exec' }
  const offered = {
    type: 'additional_tools',
    role: 'developer',
    tools: [{ type: 'namespace', name: 'functions', tools: [exec] }],
  }
  const { tools, toolResults, user } = openaiResponses.decode({ model: 'gpt-6-sol', input: [offered] }, '/v1/responses')
  const expected = [
    { name: 'functions', form: 'json', keys: [] },
    { name: 'exec', form: 'freeform', keys: [] },
  ]
  assert.deepEqual({ tools, toolResults, user }, { tools: expected, toolResults: 0, user: '' })
})

test('openai: chat messages of every role are told apart', () => {
  const body: Json = {
    model: 'fake-1',
    stream: false,
    messages: [
      { role: 'system', content: 'You are an agent.' },
      { role: 'user', content: [{ type: 'text', text: 'Fix the bug' }] },
      { role: 'assistant', content: null, tool_calls: [{ id: 'call_r1_a' }, { id: 'call_r1_b' }] },
      { role: 'tool', tool_call_id: 'call_r1_a', content: 'ok' },
      { role: 'tool', tool_call_id: 'call_r1_b', content: 'ok' },
    ],
    tools: [{ type: 'function', function: { name: 'bash', parameters: { properties: { command: {} } } } }],
  }
  assert.deepEqual(openaiChat.decode(body, '/v1/chat/completions'), {
    ...heard,
    model: 'fake-1',
    stream: false,
    tools: [{ name: 'bash', form: 'json', keys: ['command'] }],
    marks: ['call_r1_a', 'call_r1_b'],
    json: null,
    streamUsage: false,
  })
})

test('gemini: the session’s context is not speech, the mark travels in the signature, the path names model and manner', () => {
  const signature = Buffer.from('thought_r3_abc').toString('base64')
  const sent = {
    role: 'model',
    parts: [{ functionCall: { name: 'write_file', args: {} }, thoughtSignature: signature }],
  }
  const result = { functionResponse: { name: 'write_file', response: { output: 'ok' } } }
  const body: Json = {
    systemInstruction: { parts: [{ text: 'You are an agent.' }] },
    contents: [
      {
        role: 'user',
        parts: [{ text: '<session_context>\nFix the roof\n</session_context>' }, { text: 'Fix the bug' }],
      },
      sent,
      { role: 'user', parts: [result] },
      sent,
      { role: 'user', parts: [result] },
    ],
    tools: [
      { functionDeclarations: [{ name: 'write_file', parametersJsonSchema: { properties: { file_path: {} } } }] },
    ],
    generationConfig: { responseMimeType: 'application/json', responseJsonSchema: { type: 'OBJECT' } },
  }
  assert.deepEqual(gemini.decode(body, '/t/1/v1beta/models/gemini-3-pro:streamGenerateContent'), {
    ...heard,
    model: 'gemini-3-pro',
    stream: true,
    tools: [{ name: 'write_file', form: 'json', keys: ['file_path'] }],
    marks: ['thought_r3_abc', 'thought_r3_abc'],
    json: { schema: { type: 'OBJECT' } },
    streamUsage: true,
  })
  assert.equal(gemini.decode(body, '/v1beta/models/gemini-3-pro:generateContent').stream, false)
})

test('speech is what is left when the blocks a client put in front are taken away', () => {
  const block = '<system-reminder>a <b> c</system-reminder>\n'
  assert.deepEqual(
    [
      `${block}${block}do it`,
      block,
      'do <system-reminder>this</system-reminder> too',
      '# AGENTS.md instructions for /w\n\nx',
      'Your response above was cut off mid-stream. Resume directly.',
    ].map(spoken),
    ['do it', '', 'do <system-reminder>this</system-reminder> too', '', ''],
  )
})
