/** A tree's way to the gateway within a companion: all trees there share one loopback, so each has a port of its own. It never reads what passes. */
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Pipes a port of loopback to the gateway's socket. Each direction ends by itself; one that is gone takes the other with it. */
export function openDoor({ port, socket }: { port: number; socket: string }): Promise<Server> {
  const open = new Set<Socket>()
  const door = createServer({ allowHalfOpen: true }, (inner) => {
    const outer = connect({ path: socket, allowHalfOpen: true })
    open.add(inner)
    inner.on('error', () => {})
    inner.on('close', () => {
      open.delete(inner)
      outer.destroy()
    })
    outer.on('error', () => inner.destroy())
    inner.pipe(outer).pipe(inner)
  })
  return new Promise((resolve, reject) => {
    door.once('error', reject)
    door.listen(port, '127.0.0.1', () => resolve(closing(door, open)))
  })
}

/** Closed, it also hangs up on whoever is inside. */
function closing(door: Server, open: ReadonlySet<Socket>): Server {
  const close = door.close.bind(door)
  door.close = (told) => {
    for (const inner of open) inner.destroy()
    return close(told)
  }
  return door
}
