/** The verbs about money, as data: a part of verb.ts's table. */
import type { Verb } from './verb-shape.ts'

export const moneyVerbs: readonly Verb[] = [
  {
    name: 'budget',
    group: 'Decide',
    args: [
      {
        name: '[what]',
        about: 'what to do; default: status',
        words: ['status', 'set', 'raise', 'resume', 'history', 'forecast'],
      },
      {
        name: '[whose]',
        about: 'a task, or: day, repository, family, task (the usual one), minute, burst, warn',
        among: ['day', 'repository', 'family', 'task', 'minute', 'burst', 'warn'],
      },
      { name: '[usd]', about: 'how many dollars; behind repository and family the name comes first' },
      { name: '[dollars]', about: 'how many dollars, behind a name' },
    ],
    about: 'What may be spent, what was, and how long it lasts; raise it, and parked work goes on',
    options: [],
    examples: [
      'tri-agent budget',
      'tri-agent budget raise 7k2m 5',
      'tri-agent budget raise day 20',
      'tri-agent budget raise repository shop 5',
      'tri-agent budget raise family anthropic 5',
      'tri-agent budget set minute 2',
      'tri-agent budget resume',
      'tri-agent budget history',
      'tri-agent budget forecast',
    ],
    load: async () => (await import('./budget.ts')).budget,
  },
  {
    name: 'cost',
    group: 'Look',
    args: [],
    about: 'What was spent, by task, family, model, stage or day',
    options: [
      {
        flags: '--by <what>',
        about: 'how it is summed; default: task',
        words: ['task', 'family', 'model', 'stage', 'day'],
      },
      { flags: '--task <task>', about: 'only this task' },
      { flags: '--since <day>', about: 'from this day (UTC) on: 2026-11-24' },
      { flags: '--csv', about: 'as comma-separated values, in nano-dollars' },
    ],
    examples: [
      'tri-agent cost',
      'tri-agent cost --by model --since 2026-11-01',
      'tri-agent cost --by stage --task 7k2m',
      'tri-agent cost --by day --csv > cost.csv',
    ],
    load: async () => (await import('./cost.ts')).cost,
  },
  {
    name: 'prices',
    group: 'Check',
    args: [
      { name: '[what]', about: 'what to do; default: list', words: ['list', 'explain', 'check', 'confirm', 'set'] },
      { name: '[model]', about: 'its exact name' },
    ],
    about: 'What models cost, where each price comes from, and how old it is',
    options: [
      {
        flags: '-a, --all',
        about: 'for list: every model with a price, not only the configured ones; for confirm: all configured ones',
      },
      { flags: '--input <usd>', about: 'for set: dollars per million input tokens' },
      { flags: '--output <usd>', about: 'for set: dollars per million output tokens' },
    ],
    examples: [
      'tri-agent prices',
      'tri-agent prices explain claude-opus-5-5',
      'tri-agent prices check',
      'tri-agent prices confirm gpt-6-sol',
      'tri-agent prices confirm --all',
      'tri-agent prices set my-model --input 2.50 --output 10',
    ],
    load: async () => (await import('./prices.ts')).prices,
  },
]
