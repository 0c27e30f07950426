/*
description: Orders of the last weeks of the data.
primary_key: order_key
*/
select o_orderkey as order_key, o_custkey as customer_key, o_orderstatus as status, o_totalprice as total,
       o_orderdate as ordered_on, o_orderpriority as priority
from orders
where o_orderdate >= '1998-07-01'
