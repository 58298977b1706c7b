# SPDX-License-Identifier: GPL-2.0-or-later
# Calls of every shape between real SIPp endpoints, several of each at once.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of sipp sipp_ok);

my @scenarios = (
	['RFC3665-3.1 the caller hangs up', 'uas-basic', 'uac-basic', reason => 'normal', ended_by => 'caller'],
	['RFC3665-3.1 the callee hangs up', 'uas-hangs-up', 'uac-hung-up', reason => 'normal', ended_by => 'callee'],
	['RFC3665-3.8 no answer, the caller cancels', 'uas-cancel', 'uac-cancel', reason => 'canceled', ended_by => 'caller'],
	['RFC3261-21.1.5 early media', 'uas-early', 'uac-early', reason => 'normal'],
	['RFC3264-4 the offer in the 200, the answer in the ACK', 'uas-late-offer', 'uac-late-offer', reason => 'normal'],
	['RFC3261-12.2 every request in a dialog, from the caller', 'uas-listens', 'uac-talks', reason => 'normal', ended_by => 'caller'],
	['RFC3261-12.2 every request in a dialog, from the callee', 'uas-talks', 'uac-listens', reason => 'normal', ended_by => 'callee'],
	['RFC3262-3 a reliable 183 and its PRACK pass end to end', 'uas-prack', 'uac-prack', reason => 'normal'],
	['RFC3261-21.4.24 busy', 'uas-refuses', 'uac-refused', set => '486 Busy Here', reason => 'busy', sip_status => 486],
	['RFC3261-21.4.5 not found', 'uas-refuses', 'uac-refused', set => '404 Not Found', reason => 'rejected', sip_status => 404],
	['RFC3261-21.6.2 declined', 'uas-refuses', 'uac-refused', set => '603 Decline', reason => 'rejected', sip_status => 603],
);
my $count = 5;
my $port = Velador::free_port();
my $v = Velador->start(plan_of(carrier => "127.0.0.1:$port"), reliable => { '100rel' => 'passthrough' });
my $records = 0;

for (@scenarios) {
	my ($title, $callee, $caller, %expect) = @$_;
	my $answer = delete $expect{set};
	my $uas = sipp(scenario => $callee, port => $port, count => $count, args => ['-d', 100], set => { ANSWER => $answer });
	my $uac = sipp(scenario => $caller, to => $v->addr, count => $count, args => ['-d', 100, '-s', '100'], rate => 50);
	sipp_ok($title . ($answer ? " ($answer)" : ''), $uac, $uas) or $v->tell;
	my $all = $v->wait_records($records + $count);
	my @these = @$all[$records .. $#$all];
	is(scalar(@these), $count, 'one record a call');
	for my $field (sort keys %expect) {
		is_deeply([map { $_->{$field} } @these], [($expect{$field}) x @these], "their $field: $expect{$field}");
	}
	$records = @$all;
}

is($v->stat_of('unknown_source'), 0, 'nobody was taken for a stranger');
$v->done_ok;
done_testing;
