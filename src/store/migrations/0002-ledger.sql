-- Money on the wire. Accounts are sums over holds and charges; a hold is money that may be spent, a charge money that was.
create table account (
  scope          text primary key check (scope glob '[a-z]*'),         -- 'total', 'day/2026-11-24', 'task/task_7k2m', 'attempt/…'
  limit_nano_usd integer check (limit_nano_usd >= 0),                  -- null: no limit of its own
  spent_nano_usd integer not null default 0 constraint nothing_is_unspent check (spent_nano_usd >= 0),
  held_nano_usd  integer not null default 0 constraint no_hold_is_freed_twice check (held_nano_usd >= 0)
) strict, without rowid;

create table virtual_key (
  hash       text primary key check (length(hash) = 64),               -- SHA-256; the key itself is nowhere
  attempt    text not null,
  task       text not null,
  repo       text not null,
  stage      text not null,
  family     text not null,
  models     text not null check (json_type(models) = 'array'),
  scope      text not null,
  granted_at integer not null,
  revoked_at integer
) strict, without rowid;
create index virtual_key_of_attempt on virtual_key (attempt);

create table hold (
  id               integer primary key autoincrement,                  -- never used again, so that settling twice is seen
  attempt          text not null,
  task             text not null,
  repo             text not null,
  stage            text not null,
  family           text not null,
  model            text not null,
  scopes           text not null check (json_type(scopes) = 'array'),
  input_nano_usd   integer not null check (input_nano_usd >= 0),
  output_nano_usd  integer not null check (output_nano_usd >= 0),
  charged_nano_usd integer not null default 0 check (charged_nano_usd >= 0),  -- input already moved to spent
  tokens           text not null check (json_valid(tokens)),            -- the bound, then what usage said
  at               integer not null,
  day              text not null
) strict;
create index hold_of_attempt on hold (attempt);

create table charge (
  hold         integer primary key,
  attempt      text not null,
  task         text not null,
  repo         text not null,
  stage        text not null,
  family       text not null,
  model        text not null,
  input        integer not null check (input >= 0),
  cached_input integer not null check (cached_input >= 0),
  cache_write  integer not null check (cache_write >= 0),
  output       integer not null check (output >= 0),
  nano_usd     integer not null check (nano_usd >= 0),
  how          text not null check (how in ('exact', 'estimated', 'free', 'recovered')),
  at           integer not null,
  day          text not null
) strict;
create index charge_of_day on charge (day);
create index charge_of_task on charge (task);
create index charge_of_attempt on charge (attempt);
create trigger charge_is_never_updated before update on charge begin select raise(abort, 'charge is append-only'); end;
create trigger charge_is_never_deleted before delete on charge begin select raise(abort, 'charge is append-only'); end;
