# SPDX-License-Identifier: GPL-2.0-or-later
# Records at the edges of a recorder's life: killed while all stops, and two Veladors with one record file.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of wait_for);
use Velador::Peer;

my $carrier = Velador::Peer->new(name => 'carrier');
my $phone = Velador::Peer->new(name => 'phone');
sub calls {
	my ($v, $n) = @_;
	$phone->{to} = $v->addr;
	return map { my ($a, $b) = $phone->call($carrier, ring => 0); $phone->hang_up($a, $b); $a->{call_id} } 1 .. $n;
}
sub ids { my $v = shift; return [sort map { $_->{call_id} } @{ $v->records }] }

{
	my $v = Velador->start(velador => { heartbeat => '20s' }, plan_of(carrier => $carrier->addr));
	my ($recorder) = grep { $_->{kind} eq 'recorder' } @{ $v->ctl('status')->{processes} };
	kill 'STOP', $recorder->{pid};
	my @ids = calls($v, 20);
	cmp_ok(scalar(@{ ids($v) }), '<', 20, 'a stopped recorder: records wait');
	kill 'TERM', $v->pid;
	ok(wait_for(sub { $v->log_text =~ /stopping$/m }, 5, 'the stop'), 'Velador is to stop');
	kill 'KILL', $recorder->{pid};
	is(Velador::reap(delete $v->{pid}, 10), 0, 'the recorder is killed: it stops');
	is_deeply(ids($v), [sort @ids], 'with every record written, once');
}
{
	my $first = Velador->start(plan_of(carrier => $carrier->addr));
	my $second = Velador->start(record => { file => $first->{record} }, plan_of(carrier => $carrier->addr));
	my @ids = calls($first, 3);
	$first->wait_records(3);
	push @ids, calls($second, 3);
	ok($second->wait_stat('records_delayed', 1), 'another one with the same record file waits');
	like($second->log_text, qr/record file .*: another process has locked it: .*records wait$/m, 'and says so');
	push @ids, calls($first, 3);
	$first->wait_records(6);
	$first->done_ok;
	$second->wait_records(9, 10);
	is_deeply(ids($second), [sort @ids], 'then writes its own behind: none is lost, none is written over');
	$second->done_ok;
}
done_testing;
