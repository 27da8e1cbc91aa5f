/**
 * What a daemon stands on: database, git, sandbox, agents, gateway, engine, the ways in, the machine. `machinePorts` are this machine's own and what
 * everybody gets who says nothing; the simulation (test/sim) hands in models of them. Wires nothing: that is the assembly's (daemon.ts).
 */
import { embeddedEngine } from '../engine/embedded.ts'
import { createGateway } from '../gateway/gateway.ts'
import { createGit } from '../git/subprocess.ts'
import { isListened, listenForNudges } from '../host/nudge.ts'
import { bootId, isAlive, killProcess, startTimeOf, type ProcessIdentity } from '../host/proc.ts'
import { aliveOf } from '../host/process-tree.ts'
import { abandonedCgroups, killCgroupsOf, sweepEmptyCgroups } from '../sandbox/cgroup.ts'
import { createSandbox } from '../sandbox/create.ts'
import { openDatabase } from '../store/database.ts'
import { findAgents } from './agents.ts'
import { machineClosed } from './health.ts'
import { serveHealth } from './http.ts'
import { registriesFor } from './registries.ts'

export type DaemonPorts = {
  openDatabase: typeof openDatabase
  createGit: typeof createGit
  createSandbox: typeof createSandbox
  findAgents: typeof findAgents
  createGateway: typeof createGateway
  createEngine: typeof embeddedEngine
  registriesFor: typeof registriesFor
  serveHealth: typeof serveHealth
  listenForNudges: typeof listenForNudges
  isListened: typeof isListened
  /** Why nothing new may start on this machine, or null. */
  machineClosed: typeof machineClosed
  /** How often loops look that were not woken. */
  floorMs: number
  processes: {
    bootId(): string
    startTimeOf(pid: number): number | null
    isAlive(identity: ProcessIdentity): boolean
    /** It, or anything else of the tree that has `area` for its own. */
    isTreeAlive(identity: ProcessIdentity, area: string): boolean
    /** Cgroups that this state folder's boxes were in and whose makers are gone. */
    lostCgroups(stateFolder: string): string[]
    /** SIGKILL to all of that. */
    end(identity: ProcessIdentity, area: string): void
  }
}

export const machinePorts: DaemonPorts = {
  openDatabase,
  createGit,
  createSandbox,
  findAgents,
  createGateway,
  createEngine: embeddedEngine,
  registriesFor,
  serveHealth,
  listenForNudges,
  isListened,
  machineClosed,
  floorMs: 1000,
  processes: {
    bootId,
    startTimeOf,
    isAlive,
    isTreeAlive: (identity, area) => aliveOf(identity, area).length > 0,
    lostCgroups(stateFolder) {
      sweepEmptyCgroups()
      return abandonedCgroups(stateFolder)
    },
    end(identity, area) {
      killCgroupsOf(area) // in one step, where there is one
      aliveOf(identity, area).forEach(killProcess)
    },
  },
}
