/** The texts of the two files init writes, with the comments a person needs at that moment. Pure. */
import type { Env } from '../host/path.ts'
import { vendors } from '../core/setting.ts'
import type { Addition } from '../host/yaml-edit.ts'

/** One model per vendor, all in the bundled price table, pinned: a model that changes under one's feet changes price and quality. */
export const pinnedModels: Readonly<Record<string, string>> = {
  anthropic: 'claude-opus-5-5',
  openai: 'gpt-6-sol',
  google: 'gemini-3.8-flash',
}

/** `variable` null: the key is kept by `keys set`, which is where it is looked for when nothing is said. */
export type FoundFamily = { family: string; agent: string; variable: string | null; model: string }

/** The families whose key variable is set, or whose key is kept by `keys set`. */
export const familiesWithKey = (env: Env, isKept: (family: string) => boolean = () => false): FoundFamily[] =>
  Object.entries(vendors).flatMap(([family, { agent, keyVariables }]) => {
    const variable = keyVariables.find((each) => env[each]) ?? null
    const model = pinnedModels[family]
    return (variable !== null || isKept(family)) && model ? [{ family, agent, variable, model }] : []
  })

export const keyVariables = (): string[] => Object.values(vendors).map((vendor) => vendor.keyVariables[0]!)

/** The operator's file, as it is first written. */
export function operatorText(families: readonly FoundFamily[]): string {
  const entries = families.flatMap(({ family, agent, variable, model }) => [
    `  ${family}:`,
    `    agent: ${agent}`,
    ...(variable === null ? [] : [`    keyFrom: { env: ${variable} }`]),
    `    models: { architect: ${model}, implementer: ${model}, reviewer: ${model} }`,
  ])
  return `${[
    '# Your settings for tri-agent. Only this file sets money, keys and what may land; a repository can only tighten it.',
    '# Keys stay where they are: with tri-agent keys, or in the environment. What is in force, and from where: tri-agent config show --origin',
    ...(entries.length > 0
      ? ['families:', ...entries]
      : [
          `# A family appears here once you typed tri-agent keys set, or its variable (${keyVariables().join(', ')}) is set, and: tri-agent init`,
          'families: {}',
        ]),
    'money: { day: $75, task: $10 }',
    '# true: land without a person wherever the review policy asks for none',
    'unattended: false',
  ].join('\n')}\n`
}

/** What an operator's file that is there already lacks. */
export const operatorAdditions = (families: readonly FoundFamily[]): Addition[] =>
  families.map(({ family, agent, variable, model }) => ({
    path: ['families', family],
    value: {
      agent,
      ...(variable === null ? {} : { keyFrom: { env: variable } }),
      models: { architect: model, implementer: model, reviewer: model },
    },
  }))

export type Proposed = {
  found: readonly string[]
  setup: readonly string[]
  setupKey: readonly string[]
  gates: readonly { name: string; command: string }[]
  toolchain: readonly string[]
}

/** A plain word stays as it is; anything else becomes a JSON string, which is YAML too. */
const scalar = (text: string): string =>
  /^[A-Za-z][\w ./@+-]*[\w/]$/.test(text) && !/^(?:true|false|null|yes|no|on|off)$/i.test(text)
    ? text
    : JSON.stringify(text)

const list = (words: readonly string[]): string => `[${words.map(scalar).join(', ')}]`

/** The repository's file, as it is first written. */
export function repositoryText({ found, setup, setupKey, gates, toolchain }: Proposed): string {
  return `${[
    `# How tri-agent sets this repository up and tests it${found.length > 0 ? `; proposed from ${found.join(', ')}` : ''}.`,
    '# Read from the base commit, never from the work tree: commit it. It can only tighten what the operator allows.',
    ...(setup.length > 0
      ? [
          '',
          '# Fetches dependencies, in a sandbox, once per content of setupKey. The only step that reaches package registries.',
          'setup:',
          ...setup.map((command) => `  - ${scalar(command)}`),
          `setupKey: ${list(setupKey)}`,
        ]
      : []),
    ...(toolchain.length > 0 ? ['', '# Programs that set-up and gates need.', `toolchain: ${list(toolchain)}`] : []),
    '',
    '# What must be green before anything is reviewed or lands.',
    ...(gates.length > 0
      ? [
          'gates:',
          ...gates.flatMap(({ name, command }) => [`  - name: ${scalar(name)}`, `    command: ${scalar(command)}`]),
        ]
      : [
          '# No command that tests was found: nothing can be verified until you name one.',
          'gates: []',
          '#  - name: test',
          '#    command: make test',
        ]),
  ].join('\n')}\n`
}

/** What a repository's file that is there already lacks. */
export const repositoryAdditions = ({ setup, setupKey, gates, toolchain }: Proposed): Addition[] =>
  [
    { path: ['setup'], value: setup },
    { path: ['setupKey'], value: setupKey },
    { path: ['toolchain'], value: toolchain },
    { path: ['gates'], value: gates },
  ].filter(({ value }) => value.length > 0)
