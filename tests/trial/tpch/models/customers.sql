/*
primary_key: customer_key
*/
select c_custkey as customer_key, c_name as name, c_nationkey as nation_key, c_phone as phone, c_acctbal as balance,
       c_mktsegment as segment, c_comment as comment
from customer
