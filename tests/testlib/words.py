"""Words for prose that nobody needs to read, and names for people who do not exist."""

_TEXT = """
able about above across act add after again air all almost along also always amber among and angle animal
answer any apple arch area arm around arrive art ask atlas aunt autumn away back bake ball band bank bark
barn basket bath beach bear beat because become bed before begin behind bell below bench bend best better
between bicycle big bird birthday bitter black blanket blow blue board boat body bone book border both
bottle bottom bowl box branch brass brave bread break breath brick bridge bright bring broad brother brown
brush bucket build burn butter button buy cabin cake calendar call calm camera camp candle canvas care
carpet carry castle catch cedar cellar centre chain chair chalk change chapter cheese cherry chest child
choose circle city class clay clean clear climb clock close cloth cloud coal coast coat coffee cold colour
come common copper copy cork corner cotton count country course cousin cover crane cream creek crisp cross
crowd cup curtain curve cycle daily dance dark daughter dawn day deep deer desk dinner distance doctor door
double draw dream dress drift drink drive drum dry duck dust early earth east easy echo edge eight elbow
empty end engine enough evening every example eye fabric face fair fall family far farm fast father feather
feel fence fern few field find fine finger fire first fish flag flame flat floor flour flower fog follow
food forest fork four fox frame fresh friend frost fruit full garden gate gentle gift give glass glove gold
good grain grand grass green grey ground group grow guest guitar half hall hammer hand happen harbour hat
hear heart heavy hedge help hen here hill hold hollow home honey hope horse hour house iron island ivory
jacket jar join journey judge juice jump keep kettle key kind kitchen kite knife knock know ladder lake lamp
land lantern last late laugh leaf learn leather leave left lemon letter level library light lime line linen
listen little local long look loud low lunch maple map marble march market meadow meal measure meet melon
mend middle milk mill minute mirror mist month moon morning moss mother mountain music narrow near neat nest
never new night nine noise north note now oak oats ocean often olive open orange orchard other outside oven
owl page paint pair paper park part path pear pencil people pepper piano picture pine place plain plant
plate play pocket point pond porch quiet rain reach read ready ribbon rice ride river road roof room root
rope round row sail salt sand school sea second seed seven shade sheep shelf shell ship shoe shore short
silver sing sister sky sleep slow small smoke snow soft song soup south spoon spring square stair star stone
story stream street summer sun sweet table tall tea ten thread three tide timber time today together tower
town train tree true tunnel under uncle valley velvet village violet visit voice walk wall warm watch water
weather west wheat wheel white wide willow wind window winter wood wool word work world yard year yellow
young
"""
WORDS = tuple(_TEXT.split())

NAMES = (
    "Ada Lindqvist",
    "Bruno Okafor",
    "Chiara Weber",
    "Dmitri Halonen",
    "Esperança Duarte",
    "Félix Moreau",
    "Gül Aydın",
    "Hanna Kowalczyk",
    "Ines Jørgensen",
    "Jiří Novák",
    "Kenji Mori",
    "Λένα Παππά",
    "Мария Орлова",
    "Niamh Byrne",
    "Oskar Größe",
)
