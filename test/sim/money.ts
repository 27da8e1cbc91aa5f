/**
 * Laws of money, by arithmetic of the auditor's own: what anything may cost is known from the settings and from what people raised, what was spent from
 * single charges, and what had to be charged from what the modelled providers made.
 */
import type { StatementSync } from 'node:sqlite'
import type { Event } from '../../src/core/event.ts'
import type { Machine } from './machine.ts'
import { broken, type Heard, type Law, type Rules } from './table.ts'

/** From this share of a day on nothing more of a lane starts. */
const shares: Readonly<Record<string, number>> = { critical: 0.95, normal: 0.9, background: 0.8 }
const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10)

type Charge = {
  hold: number
  attempt: string
  task: string
  repo: string
  family: string
  day: string
  nanoUsd: number
}

export function moneyLaws(sql: (text: string) => StatementSync, machine: Machine, { money }: Rules): Law {
  const raised = new Map<string, number>()
  const budgets = new Map<string, number>()
  const roots = new Map<string, string>()
  const accounts = sql(
    `select scope, spent_nano_usd as spent, held_nano_usd as held from account where scope glob 'day/*' or scope glob 'task/*'`,
  )
  const charged = sql(
    `select coalesce(sum(nano_usd), 0) as nanoUsd from charge
     where day = :day and at < :at and (:repo is null or repo = :repo) and (:family is null or family = :family)`,
  )
  const usual = (scope: string): number => {
    const [what, , part, name] = scope.split('/')
    if (what === 'task') return budgets.get(scope) ?? money.taskNanoUsd
    if (part === undefined) return money.dayNanoUsd
    return (part === 'repo' ? money.repositories : money.families)[name!] ?? Infinity
  }
  const limitOf = (scope: string): number => usual(scope) + (raised.get(scope) ?? 0)

  const note = (event: Event): void => {
    if (event.type === 'budget.raised') raised.set(event.scope, (raised.get(event.scope) ?? 0) + event.byNanoUsd)
    if (event.type !== 'task.added') return
    roots.set(event.task, event.root)
    if (event.root === event.task && event.budgetNanoUsd !== null)
      budgets.set(`task/${event.task}`, event.budgetNanoUsd)
  }
  /** Nothing starts that costs, where the day or a part of it was used up before. */
  const judgeStart = ({ row, event, task }: Heard): void => {
    if (event.type !== 'attempt.admitted' || event.family === null || !task) return
    const { family, attempt } = event
    const day = dayOf(row.at)
    const all = { repo: null, family: null }
    const scopes = [
      { scope: `day/${day}`, only: all },
      { scope: `day/${day}/repo/${task.repo}`, only: { ...all, repo: task.repo } },
      { scope: `day/${day}/family/${family}`, only: { ...all, family } },
    ]
    for (const { scope, only } of scopes) {
      const limit = limitOf(scope)
      if (limit === Infinity) continue
      const { nanoUsd } = charged.get({ day, at: row.at, ...only }) as { nanoUsd: number }
      if (nanoUsd >= shares[task.lane]! * limit)
        broken(`${attempt} of lane ${task.lane} was admitted, and ${scope} had spent ${nanoUsd} of ${limit}`)
    }
  }
  const judgeAccounts = (): void => {
    for (const { scope, spent, held } of accounts.all() as { scope: string; spent: number; held: number }[])
      if (spent + held > limitOf(scope))
        broken(`${scope} has spent ${spent} and holds ${held}, and may cost ${limitOf(scope)}`)
  }
  return {
    hear(heard) {
      judgeStart(heard)
      note(heard.event)
      if (heard.event.type === 'task.budgeted' && heard.task)
        budgets.set(`task/${heard.task.id}`, heard.event.budgetNanoUsd)
    },
    look(_at, isDue) {
      if (isDue) judgeAccounts()
    },
    /** Every account is the sum of its charges, and no charge is less than what was made or more than what was held for it. */
    end() {
      judgeAccounts()
      const sums = new Map<string, number>()
      const charges = sql('select hold, attempt, task, repo, family, day, nano_usd as nanoUsd from charge').all()
      for (const { hold, attempt, task, repo, family, day, nanoUsd } of charges as Charge[]) {
        const days = [`day/${day}`, `day/${day}/repo/${repo}`, `day/${day}/family/${family}`]
        for (const scope of ['total', ...days, `task/${roots.get(task)}`, `attempt/${attempt}`])
          sums.set(scope, (sums.get(scope) ?? 0) + nanoUsd)
        const bill = machine.bills.get(hold)
        if (bill && nanoUsd < bill.madeNanoUsd)
          broken(`${bill.madeNanoUsd} were made for ${attempt}, ${nanoUsd} charged`)
        if (bill && nanoUsd > bill.mostNanoUsd)
          broken(`${bill.mostNanoUsd} were held for ${attempt}, ${nanoUsd} charged`)
        machine.bills.delete(hold)
      }
      for (const [hold, { madeNanoUsd }] of machine.bills)
        if (madeNanoUsd > 0) broken(`${madeNanoUsd} were made on hold ${hold}, and nothing was charged`)
      const all = sql('select scope, spent_nano_usd as spent from account').all() as { scope: string; spent: number }[]
      for (const { scope, spent } of all) {
        if (spent !== (sums.get(scope) ?? 0))
          broken(`${scope} has spent ${spent}, and its charges are ${sums.get(scope)}`)
        sums.delete(scope)
      }
      for (const [scope, nanoUsd] of sums)
        if (nanoUsd > 0) broken(`${nanoUsd} were charged to ${scope}, which is no account`)
    },
  }
}
