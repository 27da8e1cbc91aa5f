-- One seal per commit that appended events: an HMAC over them and the seal before, with a key that is not in here (store/seal.ts).
create table seal (
  last_seq  integer primary key,
  first_seq integer not null constraint a_seal_covers_something check (first_seq <= last_seq),
  key_id    text not null,                                    -- which key: the beginning of its SHA-256
  previous  text not null,                                    -- mac of the seal before; 'begun' or 'adopted' for the first one
  mac       text not null check (length(mac) = 64)
) strict;
create trigger seal_is_never_updated before update on seal begin select raise(abort, 'seal is append-only'); end;
create trigger seal_is_never_deleted before delete on seal begin select raise(abort, 'seal is append-only'); end;
