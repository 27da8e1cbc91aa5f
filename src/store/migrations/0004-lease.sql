-- Not projections: what is true only while a daemon lives.
create table daemon (
  one        integer primary key check (one = 1),
  epoch      integer not null,
  pid        integer not null,
  boot_id    text not null,
  start_time integer,
  started_at integer not null
) strict;

create table lease (
  attempt    text primary key,
  task       text not null,
  token      integer not null,
  epoch      integer not null,
  state      text not null check (state in ('offered', 'claimed')),
  -- monotonic milliseconds of the daemon's epoch: a wall-clock jump expires nothing
  expires_at real not null,
  beat_at    real not null,
  active_at  real not null
) strict, without rowid;

-- Every process tree we started and have not proven dead. Nothing else is ever killed.
create table process (
  attempt    text primary key,
  pid        integer not null,
  boot_id    text not null,
  start_time integer,
  area       text not null,
  started_at integer not null
) strict, without rowid;

-- Gate results by (tree, key): verify's result is landing's test when the tree is the same. A cache of facts that are in the log.
create table gate_result (
  tree   text not null,
  key    text not null,
  report text not null check (json_valid(report)),
  at     integer not null,
  primary key (tree, key)
) strict, without rowid;
