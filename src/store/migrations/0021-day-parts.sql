-- A day's spending also by repository and by family: accounts of their own, with what was spent and is held before they were there.
insert into account (scope, spent_nano_usd, held_nano_usd)
select scope, sum(spent), sum(held) from (
  select 'day/' || day || '/repo/' || repo as scope, nano_usd as spent, 0 as held from charge
  union all select 'day/' || day || '/family/' || family, nano_usd, 0 from charge
  union all select 'day/' || day || '/repo/' || repo, charged_nano_usd, input_nano_usd + output_nano_usd from hold
  union all select 'day/' || day || '/family/' || family, charged_nano_usd, input_nano_usd + output_nano_usd from hold
) group by scope;
update hold set scopes = json_insert(scopes, '$[#]', 'day/' || day || '/repo/' || repo, '$[#]', 'day/' || day || '/family/' || family);
