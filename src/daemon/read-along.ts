/** What a person reads of an agent's output: its words and what it does, not its wire format. Needs no daemon; here because the agents' parsers are. */
import type { AgentEvent, AgentSpec } from '../agent/agent.ts'
import { adapterNamed } from '../agent/registry.ts'

export type ReadAttempt = Pick<AgentSpec, 'attempt' | 'role' | 'family' | 'model'> & { agent: string }

/** Reads one attempt's output line by line. A line the agent's parser does not know is shown as it is; nothing is left out but counters and echoes. */
export function readAlong({ agent, ...attempt }: ReadAttempt): (stream: 'stdout' | 'stderr', line: string) => string[] {
  const parser = adapterNamed(agent).parser({ ...unknown, ...attempt })
  let said = ''
  return (stream, line) => {
    const events = parser.push(stream, line)
    if (events.length === 0 && stream === 'stderr') return [line]
    return events.flatMap((event) => {
      if (event.type === 'final' && said.trim().endsWith(event.text.trim())) return []
      if (event.type === 'text') said = event.text
      return show(event, line)
    })
  }
}

/** What a parser never needs: where the agent stood and what it was told. */
const unknown = {
  prompt: '',
  work: '',
  home: '',
  tmp: '',
  gatewayUrl: '',
  key: '',
  session: '',
  access: 'read',
  contained: true,
} as const

function show(event: AgentEvent, line: string): string[] {
  switch (event.type) {
    case 'started':
      return [`# started${event.model ? ` ${event.model}` : ''}${event.version ? `, version ${event.version}` : ''}`]
    case 'text':
      return event.text.split('\n')
    case 'tool':
      return event.phase === 'start'
        ? [
            `${event.kind === 'shell' ? '$' : '*'} ${event.kind === 'shell' && event.detail ? event.detail : `${event.name}${event.detail ? ` ${event.detail}` : ''}`}`,
          ]
        : event.ok === false
          ? [`! ${event.name} failed${event.detail ? `: ${event.detail}` : ''}`]
          : []
    case 'denied':
      return [`! ${event.tool} was denied`]
    case 'retry':
      return [`! asks again: ${event.reason}`]
    case 'warning':
      return [`! ${event.text}`]
    case 'final':
      return event.ok ? event.text.split('\n') : [`! ${event.message ?? event.text}`]
    case 'usage':
      return []
    case 'unknown':
      return [line]
  }
}
