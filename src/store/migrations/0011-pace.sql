-- Not projections: the pacer's level, the breaker, and what was spent second by second. Money moves them, in the transaction that moves it.
create table pacer (
  one             integer primary key check (one = 1),
  minute_nano_usd integer check (minute_nano_usd >= 0),               -- null: nothing is paced
  burst_nano_usd  integer check (burst_nano_usd >= 0),
  level_nano_usd  integer not null,                                   -- below zero after streams took more than there was
  at              integer not null,                                   -- when the level was that; epoch milliseconds
  warned_at       integer,
  tripped_at      integer,                                            -- null: the breaker is closed
  tripped_why     text,
  constraint a_pace_has_a_burst check ((minute_nano_usd is null) = (burst_nano_usd is null)),
  constraint tripped_says_why check ((tripped_at is null) = (tripped_why is null))
) strict;

create table spending (
  second            integer primary key,                              -- epoch seconds
  nano_usd          integer not null,                                 -- may be below zero: what was charged too early is given back
  off_path_nano_usd integer not null default 0 check (off_path_nano_usd >= 0)
) strict;

-- What a person added to an account's limit. Apart from the limit itself, which settings say again and again.
alter table account add column raised_nano_usd integer not null default 0 check (raised_nano_usd >= 0);
