/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HOST_LINUX_MINMAX_H
#define HOST_LINUX_MINMAX_H

/* As strict as the kernel's: operands of unlike signedness do not compile. */
#define host_signed(x)		((__typeof__(x))-1 < (__typeof__(x))1)
#define host_pick(a, op, b) ({					\
	__typeof__(a) host_a = (a);				\
	__typeof__(b) host_b = (b);				\
	_Static_assert(host_signed(a) == host_signed(b), "sign");	\
	host_a op host_b ? host_a : host_b; })

#define min(a, b)		host_pick(a, <, b)
#define max(a, b)		host_pick(a, >, b)
#define min_t(type, a, b)	host_pick((type)(a), <, (type)(b))
#define max_t(type, a, b)	host_pick((type)(a), >, (type)(b))

#endif
