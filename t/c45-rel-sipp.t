# SPDX-License-Identifier: GPL-2.0-or-later
# Reliable provisional responses between SIPp endpoints, both roles, the far side reliable and not, several calls of each at once.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok);

my $count = 10;
my $port = Velador::free_port();
# Numbers with 1: the gateway's leg is reliable, with 2: it is not; 3: end to end. Callers on 127.0.0.1 may be reliable, those on 127.0.0.2 may not.
my $v = Velador->start(
	plan_of(
		able    => { address => "127.0.0.1:$port", prefix => 1, '100rel' => 'supported' },
		off     => { address => "127.0.0.1:$port", prefix => 2, '100rel' => 'off' },
		through => { address => "127.0.0.1:$port", prefix => 3, '100rel' => 'passthrough' }),
	'gateway old' => { role => 'caller', source => '127.0.0.2', '100rel' => 'off' }, reliable => { '100rel' => 'passthrough' });

my $records = 0;
for (
	['RFC3262-3 two reliable responses on both legs', 'uas-prack-twice', 'uac-prack-twice', 1, 'used used'],
	['RFC3262-3 the same end to end', 'uas-prack-twice', 'uac-prack-twice', 3, 'passthrough passthrough'],
	['RFC3262-3 a gateway without, a caller with', 'uas-early', 'uac-prack-once', 2, 'used none'],
	['RFC3262-4 a gateway with, a caller without', 'uas-prack', 'uac-early', 1, 'none used', old => 1],
	['RFC3262-4 two of them', 'uas-prack-twice', 'uac-rings-twice', 1, 'none used', old => 1],
	['neither', 'uas-early', 'uac-early', 2, 'none none', old => 1],
	['RFC3262-5 INVITE without offer, both reliable', 'uas-prack-late-offer', 'uac-prack-late-offer', 1, 'used used'],
	['RFC3262-5 the same, a gateway without', 'uas-late-offer-early', 'uac-prack-late-offer', 2, 'used none'],
	['RFC3262-5 the same, neither', 'uas-late-offer', 'uac-late-offer', 1, 'none none', old => 1],
	['RFC3262-5 a second offer in PRACK, a gateway that takes UPDATE', 'uas-prack-offer', 'uac-prack-offer', 1, 'used used'],
	['RFC3261-9.1 CANCEL after PRACK', 'uas-prack-cancel', 'uac-prack-cancel', 1, 'used used', reason => 'canceled'],
) {
	my ($title, $callee, $caller, $user, $states, %o) = @$_;
	my $uas = sipp(scenario => $callee, port => $port, count => $count, args => ['-d', 50]);
	my $uac = sipp(scenario => $caller, host => $o{old} ? '127.0.0.2' : '127.0.0.1', to => $v->addr, count => $count, args => ['-d', 50, '-s', "${user}00"], rate => 50);
	sipp_ok($title, $uac, $uas) or $v->tell;
	my $all = $v->wait_records($records + $count);
	my @these = @$all[$records .. $#$all];
	my %is = map { ("$_->{reason} $_->{caller_100rel} $_->{callee_100rel}" => 1) } @these;
	is(join(', ', keys %is), ($o{reason} // 'normal') . " $states", 'their records');
	$records = @$all;
}
is($v->stat_of('pracks_unmatched'), 0, 'no PRACK was out of place');
$v->done_ok;
done_testing;
