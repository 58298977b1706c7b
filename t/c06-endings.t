# SPDX-License-Identifier: GPL-2.0-or-later
# Calls that we end ourselves: each with a Reason, both legs, one record. All run at the same time; the longest takes 32 s.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of wait_for);
use Velador::Peer;

my %keys = (zombie => { setup_early_hangup => '1s' }, ring => { ring_timeout => '1s' }, limit => { max_call_duration => '1s' }, mute => { max_call_duration => '2s' },
	noack => {}, admin => {}, lost => { give_up => '3s' });
my %peer = map { $_ => Velador::Peer->new(name => $_) } sort keys %keys;
my $digit = 0;
my %number = map { $_ => ++$digit . '00' } sort keys %keys;
my $v = Velador->start(plan_of(map { ($_ => { address => $peer{$_}->addr, prefix => $number{$_}, %{ $keys{$_} } }) } keys %keys));
my %phone = map { $_ => Velador::Peer->new(name => "phone of $_", to => $v->addr) } keys %keys;
my (%caller, %callee, %invite);

sub begin {
	my ($name, %o) = @_;
	$caller{$name} = $phone{$name}->dialog(user => $number{$name});
	$caller{$name}->invite;
	$invite{$name} = $peer{$name}->want('INVITE') or BAIL_OUT('no call comes through');
	$callee{$name} = $peer{$name}->dialog_of($invite{$name});
	$peer{$name}->reply($invite{$name}, 180, contact => 1);
	return;
}
sub reason_ok {
	my ($m, $title) = @_;
	return ok($m && $m->h('Reason') =~ /^SIP\s*;\s*cause=\d{3}\s*;\s*text="[^"]+"/, "RFC3326-2 $title has a Reason") || diag($m ? $m->{raw} : 'nothing came');
}
sub record_is {
	my ($name, %expect) = @_;
	my $r = $v->wait_record_of($caller{$name}{call_id}, 8);
	is_deeply({ map { $_ => $r->{$_} } keys %expect }, \%expect, "$name: the record says why") or diag(explain($r));
	return;
}

# No ACK: begun first, looked at last.
begin('noack');
$peer{noack}->reply($invite{noack}, 200, sdp => 1);
ok($phone{noack}->want('200/INVITE'), 'a call whose caller never ACKs');
my $answered = Time::HiRes::time();

begin($_) for qw(zombie ring);
for my $name (qw(limit mute admin lost)) {
	@callee{$name} = @caller{$name} = undef;
	($caller{$name}, $callee{$name}) = $phone{$name}->call($peer{$name}, user => $number{$name});
}

for my $name (qw(zombie ring)) {
	my $title = $name eq 'zombie' ? 'setup_early_hangup' : 'RFC3261-16.8 ring_timeout';
	my $cancel = $peer{$name}->want('CANCEL');
	ok($cancel, "$title: CANCEL to the callee") or next;
	cmp_ok(abs($cancel->{time} - $invite{$name}{time} - 1), '<', 0.15, 'in time');
	is($cancel->branch, $invite{$name}->branch, 'RFC3261-9.1 with the branch of the INVITE');
	is($cancel->cseq, $invite{$name}->cseq, 'and its CSeq');
	is($cancel->{uri}, $invite{$name}{uri}, 'and its Request-URI');
	reason_ok($cancel, 'it');
	$peer{$name}->reply($cancel, 200);
	$peer{$name}->reply($invite{$name}, 487);
	ok($peer{$name}->want('ACK'), 'its 487 is ACKed');
	my $final = $phone{$name}->want($name eq 'zombie' ? 408 : sub { ($_[0]{status} // 0) =~ /^4(?:08|80)$/ });
	ok($final, ($final ? $final->{status} : 'a final answer') . ' to the caller');
	reason_ok($final, 'it');
	$caller{$name}->ack_failure($final) if $final;
}
record_is('zombie', reason => 'setup_timeout', ended_by => 'server', sip_status => 408, answered_at => undef);
record_is('ring', reason => 'no_answer', ended_by => 'server', answered_at => undef);

{
	my ($to_callee, $to_caller) = ($peer{limit}->want('BYE'), $phone{limit}->want('BYE'));
	ok($to_callee && $to_caller, 'max_call_duration: BYE to both');
	if ($to_callee && $to_caller) {
		reason_ok($_, $_ == $to_caller ? 'that to the caller' : 'that to the callee') for $to_callee, $to_caller;
		cmp_ok($to_callee->cseq, '>', $callee{limit}{invite}->cseq, 'CSeq rises towards the callee');
		is($to_caller->from_tag, $caller{limit}{ok}->to_tag, 'RFC3261-12.2.1.1 each in its own dialog');
		is($to_caller->{uri}, $phone{limit}->uri, 'each to its own target');
		$peer{limit}->reply($to_callee, 200);
		$phone{limit}->reply($to_caller, 200);
	}
}
record_is('limit', reason => 'max_duration', ended_by => 'server', sip_status => 200);
cmp_ok(abs($v->wait_record_of($caller{limit}{call_id})->{duration_ms} - 1000), '<', 200, 'after its second');

{
	my @byes;
	wait_for(sub { Velador::Peer::pump(0.05); push @byes, grep { ($_->{method} // '') eq 'BYE' } $peer{mute}->drain; return @byes >= 3 }, 6, 'repeats of a BYE');
	cmp_ok(scalar(@byes), '>=', 3, 'RFC3261-17.1.2.2 a BYE of ours that nobody answers is sent again');
	is(scalar(keys %{ { map { $_->{raw} => 1 } @byes } }), 1, 'the very same bytes');
	$peer{mute}->reply($byes[-1], 200);
	$phone{mute}->reply($_, 200) for $phone{mute}->want('BYE') // ();
}
record_is('mute', reason => 'max_duration', ended_by => 'server');

{
	my ($call) = grep { $_->{call_id} eq $caller{admin}{call_id} } @{ $v->ctl('calls') // [] };
	is(($v->ctl_raw('hangup', $call->{id}))[0], 0, 'veladorctl hangup');
	for my $end ($peer{admin}, $phone{admin}) {
		my $bye = $end->want('BYE');
		reason_ok($bye, 'the BYE to ' . $end->{name});
		$end->reply($bye, 200) if $bye;
	}
	is(($v->ctl_raw('hangup', $call->{id}))[0], 1, 'a second time there is nothing to hang up');
}
record_is('admin', reason => 'admin', ended_by => 'server');

{
	# The callee is gone: the caller's BYE is answered, the other leg's resends run out, and everything is freed.
	$peer{lost}->auto(sub { return 1 });
	$caller{lost}->bye;
	ok($phone{lost}->want(sub { $_[0]->cseq_method eq 'BYE' && ($_[0]{status} // 0) >= 200 }, timeout => 6), 'a BYE towards a dead callee is answered all the same');
}
record_is('lost', reason => 'normal', ended_by => 'caller');

{
	ok($peer{noack}->never('BYE', $answered + 31 - Time::HiRes::time()), 'RFC3261-15 no BYE before 64*T1');
	ok(!(grep { ($_->{method} // '') eq 'ACK' } $peer{noack}->drain), 'and no ACK to the callee');
	my $ack = $peer{noack}->want('ACK');
	ok($ack, 'RFC3261-13.3.1.4 then the callee is ACKed');
	my ($to_callee, $to_caller) = ($peer{noack}->want('BYE'), $phone{noack}->want('BYE'));
	ok($to_callee && $to_caller, 'and both get BYE');
	cmp_ok(abs($to_caller->{time} - $answered - 32), '<', 0.3, '32 s after the 200') if $to_caller;
	reason_ok($to_caller, 'it');
	$peer{noack}->reply($to_callee, 200) if $to_callee;
	$phone{noack}->reply($to_caller, 200) if $to_caller;
}
record_is('noack', reason => 'no_ack', ended_by => 'server');

is(scalar(@{ $v->records }), scalar(keys %keys), 'one call, one record');
$v->done_ok;
done_testing;
