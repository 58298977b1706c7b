# SPDX-License-Identifier: GPL-2.0-or-later
# One call, looked at message by message, and its record with every field.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $gateway = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(plan_of(carrier => { address => $gateway->addr, strip => 1, add => '+49' }));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);
my $our = quotemeta $v->addr;

my $caller = $phone->dialog(user => '0301234', headers => [['Subject', 'a "quoted" thing'], ['X-Odd-Header', ' as;it=is , kept'], ['Supported', 'replaces']]);
my $began = Time::HiRes::time();
$caller->invite;
my $trying = $phone->want(100);
ok($trying, 'RFC3261-17.2.1 100 Trying at once');
cmp_ok($trying->{time} - $began, '<', 0.2, 'within 200 ms') if $trying;
my $invite = $gateway->want('INVITE') or BAIL_OUT('no call comes through');

is($invite->call_id, $caller->{call_id}, 'Call-ID passes unchanged');
is($invite->h('From'), $caller->{local}, 'From passes unchanged');
is($invite->h('To'), $caller->{remote}, 'To passes unchanged');
is($invite->{body}, $phone->sdp, 'the description passes unchanged');
is($invite->h('Subject'), 'a "quoted" thing', 'a header passes unchanged');
is($invite->h('X-Odd-Header'), 'as;it=is , kept', 'an unknown header too');
is($invite->h('Max-Forwards'), 69, 'RFC3261-16.6 Max-Forwards less one');
is(scalar($invite->all('Via')), 1, 'one Via: a leg of its own');
like($invite->h('Via'), qr{^SIP/2\.0/UDP $our;.*branch=z9hG4bK}, 'and it is ours');
like($invite->h('Contact'), qr/\@$our/, 'Contact is ours');
is(scalar($invite->all('Record-Route')), 0, 'no Record-Route');
like($invite->{uri}, qr/^sip:\+49301234\@/, 'strip and add made the number');

my $callee = $gateway->dialog_of($invite);
$gateway->reply($invite, 100);
$gateway->reply($invite, 180, contact => 1, headers => [['Server', 'a gateway']]);
my $ringing = $phone->want(180);
ok($ringing, '180 comes through');
is($ringing->h('Via'), $trying->h('Via'), 'with the caller\'s own Via');
like($ringing->h('Contact'), qr/\@$our/, 'and a Contact of ours');
is($ringing->h('Server'), 'a gateway', 'and the gateway\'s other headers');
is(scalar($ringing->all('Via')), 1, 'and no other Via');
$gateway->reply($invite, 200, sdp => 1);
my $ok = $phone->want('200/INVITE');
ok($ok, '200 comes through');
is($ok->{body}, $gateway->sdp, 'with the description');
is($ok->to_tag, $gateway->{tags}{ $caller->{call_id} }, 'and the callee\'s tag');
ok($gateway->never('ACK', 0.15), 'the callee gets no ACK before the caller sent his');
$caller->learn($ok);
$caller->ack;
my $ack = $gateway->want('ACK');
ok($ack, 'then it gets one');
is($ack->cseq, $invite->cseq, 'RFC3261-13.2.2.4 with the CSeq of the INVITE');
isnt($ack->branch, $invite->branch, 'in a transaction of its own');

my ($call) = @{ $v->ctl('calls') // [] };
is($call->{call_id}, $caller->{call_id}, 'veladorctl calls lists it');
is($call->{caller_gateway}, 'phones', 'with its caller');
is($call->{callee_gateway}, 'carrier', 'and its gateway');
my $detail = $v->ctl('call', $call->{id});
is($detail->{call_id}, $caller->{call_id}, 'veladorctl call shows it');

$caller->bye;
my $bye = $gateway->want('BYE');
ok($bye, 'BYE comes through');
cmp_ok($bye->cseq, '>', $invite->cseq, 'RFC3261-12.2.1.1 CSeq rises on the callee\'s leg');
like($bye->{uri}, qr/^\Qsip:carrier@@{[$gateway->addr]}\E/, 'to the callee\'s Contact');
$gateway->reply($bye, 200);
ok($phone->want('200/BYE'), 'and is answered');

my $r = $v->wait_record_of($caller->{call_id});
my @fields = qw(id call_id from to dialed sent caller_gateway caller_addr callee_gateway callee_addr tried setup_at ringing_at answered_at ended_at duration_ms
	setup_ms pdd_ms ended_by reason sip_status q850 caller_timer callee_timer refreshes resends caller_100rel callee_100rel);
is_deeply([sort keys %$r], [sort @fields], 'the record has every field and no other');
is($r->{from}, $phone->uri, 'from: URI without display name and parameters');
is($r->{to}, 'sip:0301234@velador.example', 'to');
is($r->{dialed}, '0301234', 'dialed');
is($r->{sent}, '+49301234', 'sent');
is($r->{caller_gateway}, 'phones', 'caller_gateway');
is($r->{caller_addr}, $phone->addr, 'caller_addr');
is($r->{callee_gateway}, 'carrier', 'callee_gateway');
is($r->{callee_addr}, $gateway->addr, 'callee_addr');
is_deeply($r->{tried}, ['carrier'], 'tried');
my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
like($r->{$_}, $time, $_) for qw(setup_at ringing_at answered_at ended_at);
ok($r->{setup_at} le $r->{ringing_at} && $r->{ringing_at} le $r->{answered_at} && $r->{answered_at} le $r->{ended_at}, 'the times are in order');
cmp_ok($r->{duration_ms}, '>=', 100, 'duration_ms') and cmp_ok($r->{duration_ms}, '<', 10000, 'is no fantasy');
cmp_ok($r->{setup_ms}, '>=', $r->{pdd_ms}, 'setup_ms is not shorter than pdd_ms');
is($r->{ended_by}, 'caller', 'ended_by');
is($r->{reason}, 'normal', 'reason');
is($r->{sip_status}, 200, 'sip_status');
is($r->{refreshes}, 0, 'refreshes');
is($r->{resends}, 0, 'resends');
is(scalar(@{ $v->records }), 1, 'one call, one record');

$v->done_ok;
done_testing;
