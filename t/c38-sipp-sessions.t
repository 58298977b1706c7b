# SPDX-License-Identifier: GPL-2.0-or-later
# Sessions between SIPp endpoints, with every header of a refresh checked by them: who has a timer, who refreshes, by what, on which leg. All pairs run side by side.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok free_port);

use constant COUNT => 3;
my $timer = "Supported: timer\nRequire: timer\nSession-Expires: 2;refresher=uac";
my $none = 'X-Timer: none';
# Callers of 127.0.0.1 are refreshed by us, those of 127.0.0.2 have the safety net, those of 127.0.0.3 may refresh.
my @pairs = (
	['RFC4028-10 a callee with a timer, refreshed by UPDATE; a caller without', 'uas-updated', 'uac-simple', 1, [], 'normal', 'none self'],
	['RFC4028-10 by re-INVITE, where he lists no UPDATE', 'uas-reinvited', 'uac-simple', 1, ['uas', TIMER => $timer], 'normal', 'none self'],
	['RFC4028-10 a caller with a timer, refreshed by UPDATE; a callee without', 'uas-simple', 'uac-updated', 1, [], 'normal', 'self none'],
	['RFC4028-10 by re-INVITE', 'uas-simple', 'uac-reinvited', 1, ['uac', TIMER => $timer, ASK => 'Supported: timer'], 'normal', 'self none'],
	['RFC4028-9 a caller who refreshes by himself', 'uas-simple', 'uac-refreshes', 1, [], 'normal', 'endpoint none'],
	['RFC4028-7.2 a callee who does, where refresher = endpoint', 'uas-refreshes', 'uac-simple', 1, [], 'normal', 'none endpoint', refresher => 'endpoint'],
	['RFC4028-7.3 a callee who insists on a longer interval', 'uas-too-small', 'uac-simple', 1, [], 'normal', 'none self'],
	['the safety net: a caller without timer is asked by re-INVITE', 'uas-simple', 'uac-reinvited', 2, ['uac', TIMER => $none, ASK => $none], 'normal', 'none none'],
	['the safety net: so is a callee', 'uas-reinvited', 'uac-simple', 1, ['uas', TIMER => $none], 'normal', 'none none', no_timer_interval => '1s'],
	['RFC4028-10 a callee who answers no refresh: BYE to both', 'uas-forgets', 'uac-hung-up-by-us', 1, [], 'session_expired', 'none self'],
);
my (%sections, @port);
for my $i (0 .. $#pairs) {
	my (undef, undef, undef, undef, undef, undef, undef, %keys) = @{ $pairs[$i] };
	$port[$i] = free_port();
	$sections{"gateway gw$i"} = { role => 'callee', address => "127.0.0.1:$port[$i]", prefix => "9$i", no_timer_interval => 0, %keys };
}
my $v = Velador->start(%sections,
	'gateway phones'  => { role => 'caller', source => '127.0.0.1', no_timer_interval => 0 },
	'gateway watched' => { role => 'caller', source => '127.0.0.2', no_timer_interval => '1s' },
	session           => { ttl => '2s' });

my @running;
for my $i (0 .. $#pairs) {
	my ($title, $callee, $caller, $host, $set) = @{ $pairs[$i] };
	my ($whose, %set) = @$set;
	my $uas = sipp(scenario => $callee, port => $port[$i], count => COUNT, timeout => 20, ($whose // '') eq 'uas' ? (set => \%set) : ());
	# He hangs up when three refreshes have come (one at 422) and the next is not due.
	my $uac = sipp(scenario => $caller, host => "127.0.0.$host", to => $v->addr, count => COUNT, rate => 50, timeout => 20, args => ['-d', $callee eq 'uas-too-small' ? 2100 : 3300, '-s', "9$i", '-cid_str', "$i-%u-%p\@%s"],
		($whose // '') eq 'uac' ? (set => \%set) : ());
	push @running, [$uac, $uas];
}
sipp_ok($pairs[$_][0], @{ $running[$_] }) or $v->tell for 0 .. $#pairs;
my $records = $v->wait_records(COUNT * @pairs, 20);
for my $i (0 .. $#pairs) {
	my @these = grep { $_->{dialed} eq "9$i" } @$records;
	is_deeply([map { "$_->{reason} $_->{caller_timer} $_->{callee_timer}" } @these], [("$pairs[$i][5] $pairs[$i][6]") x COUNT], "the records of $pairs[$i][1] and $pairs[$i][2]");
}
is($v->stat_of('min_se_learned'), COUNT, '422 was consumed');
is($v->stat_of('no_timer_dead') + $v->stat_of('endpoints_gone'), 0, 'nobody was taken for dead');
$v->done_ok;
done_testing;
