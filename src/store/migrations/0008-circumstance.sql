-- What keeps tasks from starting, as the daemon sees it: for whoever wonders why nothing starts.
alter table daemon add column circumstances text check (circumstances is null or json_valid(circumstances));
