-- Not projections: what was last found about this machine.
create table health_status (
  name       text primary key,
  state      text not null check (state in ('ok', 'warning', 'missing')),
  found      text not null,
  mend       text,
  checked_at integer not null                                 -- epoch milliseconds
) strict, without rowid;

-- One trial turn per version of an agent that nobody tested, so that none is made twice.
create table agent_trial (
  agent   text not null,
  version text not null,
  failed  text,                                               -- why; null: it passed
  at      integer not null,
  primary key (agent, version)
) strict, without rowid;
