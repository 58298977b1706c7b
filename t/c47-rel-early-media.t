# SPDX-License-Identifier: GPL-2.0-or-later
# The 183 with early media is lost three times in a row, on either leg: the caller has it all the same, in order, before the 200. With 100rel = off the same loss takes it.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Lossy;

# Loses the first three 183 of each call that come out of the gateway, or that come to the caller; nothing else.
sub loses {
	my ($where) = @_;
	my %lost;
	return sub {
		my ($bytes, $way, $peer) = @_;
		return 0 unless $bytes =~ m{^SIP/2\.0 183 } && "$peer->{name} $way" eq $where;
		my ($id) = $bytes =~ /^Call-ID: (\S+)/m;
		return $lost{$id}++ < 3;
	};
}
for my $mode ('supported', 'off') {
	my $gateway = Velador::Lossy->gateway;
	my $v = Velador->start(plan_of(carrier => $gateway->addr), reliable => { '100rel' => $mode }, retransmit => { t1 => '100ms', t2 => '400ms' });
	for my $where ('gateway out', 'caller in') {
		my $leg = $where eq 'caller in' ? 'caller\'s' : 'gateway\'s';
		my $run = Velador::Lossy->run(to => $v->addr, gateway => $gateway, calls => 5, seconds => 10, lose => loses($where));
		if ($mode eq 'off') {
			is_deeply($run->{bad}, { "came '180 200'" => 5 }, "off, lost on the $leg leg: the caller has no early media, as without RFC 3262");
		} else {
			is_deeply($run->{bad}, {}, "RFC3262-3 183 lost three times on the $leg leg: the caller gets 180, 183, 200");
			is($run->{lost}, 15, 'three of each call were lost');
		}
	}
	$v->done_ok;
}
done_testing;
