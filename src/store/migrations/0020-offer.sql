-- There are no more leases than slots: the first one on offer is found in the table itself, and an index is a page more to write for each offer and claim.
drop index lease_offered;
